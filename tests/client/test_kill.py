"""Processes that die in the middle: `kill -9`, Ctrl-C, SIGTERM. A rerun of the same command resumes."""

from __future__ import annotations

import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

DATA = random.Random(11).randbytes(24 << 20)


@pytest.fixture
def slow_hub(environment: Any) -> Any:
    """A link of 20 MB/s."""
    environment.bytes_per_s = 20e6
    return environment


def test_a_killed_push_sends_only_the_missing_parts(
    slow_hub: Any, cli: Any, start_cli: Any, wait_until: Any, home: Path
) -> None:
    """Killed after 8 of 24 parts arrived: those are not sent again."""
    (home / "model.bin").write_bytes(DATA)
    command = ("push", "model.bin", "alice/m", "--no-encode")
    process = start_cli(*command)
    wait_until(lambda: slow_hub.uploads and len(slow_hub.uploads["u0"]["received"]) >= 8)
    process.kill()
    process.wait()
    arrived = set(slow_hub.uploads["u0"]["received"])
    slow_hub.log.clear()
    slow_hub.bytes_per_s = float("inf")
    assert cli(*command).returncode == 0
    assert slow_hub.files("alice/m") == {"model.bin": DATA}
    sent_again = {int(e.path.rpartition("/")[2]) for e in slow_hub.log if e.method == "PUT"}
    assert not sent_again & arrived
    assert slow_hub.part_nbytes_received() <= (24 - len(arrived)) << 20


def test_a_killed_encoded_push_keeps_its_container(
    slow_hub: Any, cli: Any, start_cli: Any, wait_until: Any, home: Path
) -> None:
    """The container is not encoded again, and its finished parts are not sent again."""
    slow_hub.part_nbytes = 1 << 18
    weights = np.random.default_rng(1).normal(size=3_000_000).astype("<f4").tobytes()
    (home / "model.bin").write_bytes(weights)
    command = ("push", "model.bin", "alice/m", "--encode")
    process = start_cli(*command)
    wait_until(lambda: any(len(upload["received"]) >= 4 for upload in slow_hub.uploads.values()))
    process.kill()
    process.wait()
    (upload,) = [upload for upload in slow_hub.uploads.values() if upload["received"]]
    assert upload["encoding"] == "freebits"
    (container,) = (home / "cache/freebits/uploads").glob("*/container.fb")
    written = container.stat().st_mtime_ns, container.stat().st_size
    arrived = len(upload["received"])
    slow_hub.log.clear()
    slow_hub.bytes_per_s = float("inf")
    assert cli(*command).returncode == 0
    assert slow_hub.files("alice/m") == {"model.bin": weights}
    assert slow_hub.count("PUT", "/parts/") <= upload["part_count"] - arrived
    assert written[1] == upload["stored_nbytes"]
    assert not container.exists()


def test_a_killed_pull_fetches_only_what_is_missing(
    slow_hub: Any, cli: Any, start_cli: Any, wait_until: Any, home: Path
) -> None:
    """Killed after 16 of 24 MiB: the verified prefix on disk is not fetched again."""
    slow_hub.add("alice/m", "model.bin", DATA)
    process = start_cli("pull", "alice/m", "-o", "m")
    journal = "m/.freebits/*.journal"
    wait_until(lambda: any("\n" in path.read_text() for path in home.glob(journal)))
    process.kill()
    process.wait()
    assert not (home / "m/model.bin").exists()
    (path,) = home.glob(journal)
    verified = int(path.read_text().splitlines()[-1].split()[0])
    assert verified >= 8 << 20
    slow_hub.log.clear()
    slow_hub.bytes_per_s = float("inf")
    assert cli("pull", "alice/m", "-o", "m").returncode == 0
    assert (home / "m/model.bin").read_bytes() == DATA
    assert slow_hub.blob_nbytes_sent() <= len(DATA) - verified + (256 << 10)


@pytest.fixture(params=["push", "pull"])
def transfer(
    request: pytest.FixtureRequest, environment: Any, start_cli: Any, wait_until: Any, home: Path
) -> Any:
    """A running push or pull that has moved 2 MB of 24 over a slow link, and its command."""
    environment.bytes_per_s = 8e6
    (home / "model.bin").write_bytes(DATA)
    environment.add("alice/m", "other.bin", DATA[::-1])
    pushing = ("push", "model.bin", "alice/m", "--no-encode")
    command = pushing if request.param == "push" else ("pull", "alice/m")
    process = start_cli(*command)
    wait_until(lambda: environment.part_nbytes_received() + environment.blob_nbytes_sent() > 2e6)
    return process, command


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_transfer_ends_soon_and_resumes(
    environment: Any, cli: Any, transfer: Any, number: int, code: int
) -> None:
    """Ctrl-C ends within seconds with 130 and one line; the same command then finishes."""
    process, command = transfer
    process.send_signal(number)
    _, stderr = process.communicate(timeout=8)
    assert process.returncode == code
    assert "Traceback" not in stderr
    if number == signal.SIGINT:
        assert "run the same command again" in stderr
    environment.bytes_per_s = float("inf")
    assert cli(*command).returncode == 0


def test_an_interrupted_encode_leaves_no_half_file(start_cli: Any, wait_until: Any, home: Path) -> None:
    """Neither the output nor its draft."""
    with (home / "big.bin").open("wb") as file:
        file.truncate(4 << 30)
    process = start_cli("encode", "big.bin")
    wait_until(lambda: any(home.glob(".big.bin.fb.*.tmp")))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    assert sorted(path.name for path in home.glob("*big.bin*")) == ["big.bin"]
    assert not list(home.glob(".big*"))
