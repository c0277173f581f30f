"""The client against a real hub over a bad link, and against a hub that dies."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import freebits
from freebits import errors

NBYTES = 24 << 20


@pytest.fixture
def model(home: Path, request: pytest.FixtureRequest) -> Path:
    """24 MiB that do not shrink, other ones for each test: the hub is sent nothing that it has."""
    path = home / "model.bin"
    path.write_bytes(random.Random(request.node.name).randbytes(NBYTES))
    return path


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll until `condition` holds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.005)


def test_a_link_that_cuts_every_few_megabytes(link: Any, model: Path, home: Path) -> None:
    """Retries bring everything over, both ways."""
    link.cut_every_nbytes = 5_000_000
    with freebits.Hub(retries=8) as hub:
        hub.push(model, "admin/cut", encode=False)
        hub.pull("admin/cut", home / "out")
    assert (home / "out/model.bin").read_bytes() == model.read_bytes()


def test_a_killed_push_resumes(link: Any, start_cli: Any, cli: Any, model: Path) -> None:
    """`kill -9` with half of the bytes sent: the other half is what the rerun sends."""
    link.bytes_per_s = 20e6
    command = ("push", model, "admin/killed-push", "--no-encode")
    process = start_cli(*command)
    wait_until(lambda: link.up_nbytes > 14e6)
    process.kill()
    process.wait()
    link.bytes_per_s = float("inf")
    code, stdout, _ = cli(*command, "--json")
    assert code == 0
    # Up to six parts of 1 MiB were under way when the process died; all others had arrived.
    assert json.loads(stdout)["sent_nbytes"] <= NBYTES - 14_000_000 + (7 << 20)


def test_a_killed_pull_resumes(link: Any, start_cli: Any, cli: Any, model: Path, home: Path) -> None:
    """`kill -9` after 16 MiB were verified on disk: they are not fetched again."""
    with freebits.Hub() as hub:
        hub.push(model, "admin/killed-pull", encode=False)
    link.bytes_per_s = 20e6
    process = start_cli("pull", "admin/killed-pull", "-o", "out")
    wait_until(lambda: any("\n" in path.read_text() for path in home.glob("out/.freebits/*.journal")))
    process.kill()
    process.wait()
    (journal,) = home.glob("out/.freebits/*.journal")
    verified = int(journal.read_text().splitlines()[-1].split()[0])
    link.bytes_per_s = float("inf")
    before = link.down_nbytes
    assert cli("pull", "admin/killed-pull", "-o", "out")[0] == 0
    assert (home / "out/model.bin").read_bytes() == model.read_bytes()
    assert link.down_nbytes - before < NBYTES - verified + 600_000


def test_a_hub_killed_during_a_push_comes_back(
    own_hub: Any, start_cli: Any, model: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The push goes on by itself when the hub is back soon enough."""
    monkeypatch.setenv("FREEBITS_ENDPOINT", own_hub.endpoint)
    process = start_cli("push", model, "admin/model", "--no-encode", "--retries", "8")
    time.sleep(0.8)
    own_hub.kill()
    own_hub.start()
    assert process.wait(timeout=60) == 0
    with freebits.Hub() as hub:
        hub.pull("admin/model", home / "out")
    assert (home / "out/model.bin").read_bytes() == model.read_bytes()


def test_a_hub_that_stays_away_is_exit_5(
    own_hub: Any, cli: Any, start_cli: Any, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says to run the same command again, which then resumes."""
    monkeypatch.setenv("FREEBITS_ENDPOINT", own_hub.endpoint)
    own_hub.kill()
    code, _, stderr = cli("push", model, "admin/model", "--retries", "1")
    assert code == 5
    assert "run the same command again" in stderr
    own_hub.start()
    assert cli("push", model, "admin/model")[0] == 0


def test_ctrl_c_is_130(link: Any, start_cli: Any, model: Path) -> None:
    """At once, without a traceback."""
    link.bytes_per_s = 4e6
    process = start_cli("push", model, "admin/interrupted", "--no-encode")
    wait_until(lambda: link.up_nbytes > 1e6)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in stderr


def test_who_may_do_what(link: Any, model: Path) -> None:
    """Strangers do not see private repos, wrong tokens are refused."""
    with freebits.Hub() as hub:
        hub.create_repo("admin/secret")
    with freebits.Hub(token="wrong") as stranger:
        with pytest.raises(errors.NotAllowed):
            stranger.whoami()
        with pytest.raises(errors.NotAllowed):
            stranger.push(model, "admin/secret")
    with freebits.Hub() as hub, pytest.raises(errors.NotFound):
        hub.pull("admin/absent")
