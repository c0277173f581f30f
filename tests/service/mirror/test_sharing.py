"""Hub processes that mirror another one: many readers at once, bad lines, ends without warning."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from upstream import Line

WEIGHTS = random.Random(6).randbytes(12_000_000)
FILES: dict[str, bytes | None] = {"config.json": b"{}", "model.bin": WEIGHTS, "other.bin": WEIGHTS[::-1]}

pytestmark = pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)


@pytest.fixture
def line(upstream: Any) -> Iterator[Line]:
    """The line between the two hubs."""
    between = Line(upstream.served.port)
    yield between
    between.close()


@pytest.fixture
def served(make_process: Callable[..., Any], line: Line) -> Any:
    """A hub that mirrors the upstream over that line."""
    mirror = make_process("--upstream", line.url, "--upstream-refresh-s", "0", "--log-level", "info")
    mirror.start()
    return mirror


def test_many_first_readers(served: Any, upstream: Any, line: Line, repo: str, commit: str) -> None:
    """Sixteen of a file nobody had before, some of ranges of it: one lookup, one download, right bytes for all."""

    def read(number: int) -> bool:
        start = 0 if number % 2 else number * 500_000
        headers = {"Range": f"bytes={start}-"} if start else {}
        reply = httpx.get(f"{served.url}/{repo}/resolve/main/model.bin", headers=headers, timeout=60)
        return reply.content == WEIGHTS[start:]

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(read, range(16)))
    assert upstream.asked(f"{repo}/resolve/{commit}/model.bin") == 1
    assert upstream.asked(f"{repo}/tree/{commit}") == 1
    assert line.passed_nbytes < 1.1 * len(WEIGHTS)


def test_is_read_while_it_arrives(served: Any, line: Line, repo: str, commit: str) -> None:
    """A reader has what has arrived while the rest is still on its way, and HEAD does not wait for it."""
    url = f"{served.url}/{repo}/resolve/{commit}/model.bin"
    assert httpx.head(url).status_code == 200
    line.stops_after = 6_000_000
    seen = bytearray()
    with httpx.stream("GET", url, timeout=60) as reply:
        for chunk in reply.iter_raw():
            if not seen:
                assert httpx.head(url, timeout=5).headers["content-length"] == str(len(WEIGHTS))
                assert httpx.get(f"{served.url}/readyz", timeout=5).status_code == 200
                line.stops_after = None
                line.is_open.set()
            seen += chunk
    assert bytes(seen) == WEIGHTS


def test_hundreds_wait_and_others_are_served(served: Any, line: Line, repo: str, commit: str) -> None:
    """However many wait for a file of a slow upstream, they hold no threads: everybody else is answered."""
    url = f"{served.url}/{repo}/resolve/{commit}"
    assert httpx.get(f"{url}/config.json").content == b"{}"
    line.is_open.clear()
    with ThreadPoolExecutor(100) as pool:
        waiting = [pool.submit(httpx.get, f"{url}/model.bin", timeout=120) for _ in range(100)]
        time.sleep(2)
        begun = time.monotonic()
        assert httpx.get(f"{url}/config.json", timeout=10).content == b"{}"
        assert time.monotonic() - begun < 5
        line.is_open.set()
        assert all(each.result().content == WEIGHTS for each in waiting)


def test_a_line_that_breaks(served: Any, line: Line, repo: str, commit: str) -> None:
    """The download is gone on with where it broke, and readers do not notice."""
    line.breaks_after = 3_500_000
    url = f"{served.url}/{repo}/resolve/{commit}"
    assert httpx.get(f"{url}/model.bin", timeout=60).content == WEIGHTS
    assert line.broken >= 3
    assert line.passed_nbytes < 1.5 * len(WEIGHTS)


def test_an_upstream_that_is_away(served: Any, line: Line, repo: str, commit: str) -> None:
    """What was fetched is served, with branch names, at once; what was not says that the upstream does not answer."""
    url = f"{served.url}/{repo}/resolve/main"
    assert httpx.get(f"{url}/model.bin", timeout=60).content == WEIGHTS
    line.is_cut = True
    for _ in range(3):
        begun = time.monotonic()
        assert httpx.get(f"{url}/model.bin", timeout=60).content == WEIGHTS
        assert httpx.get(f"{served.url}/api/models/{repo}/revision/main").json()["sha"] == commit
        assert time.monotonic() - begun < 8
    absent = [
        httpx.get(f"{served.url}/api/models/up/unknown", timeout=20),
        httpx.get(f"{served.url}/{repo}/resolve/other-branch/config.json", timeout=20),
        httpx.get(f"{url}/other.bin", timeout=60),
    ]
    assert [(reply.status_code, reply.json()["code"]) for reply in absent] == [(503, "UPSTREAM_UNAVAILABLE")] * 3
    assert absent[0].headers["retry-after"]


def test_hubs_that_mirror_each_other(make_process: Callable[..., Any], connect: Callable[..., Any]) -> None:
    """What one has the other finds; what neither has is not there, at once."""
    one = make_process("--no-worker", "--upstream-refresh-s", "0", name="one")
    other = make_process("--no-worker", "--upstream-refresh-s", "0", "--upstream", one.url, name="other")
    one.flags += ["--upstream", other.url]
    for each in (one, other):
        each.start()
    client = connect(one)
    client.push(client.new_repo("open/mine"), {"x": WEIGHTS})
    for each in (other, one):
        assert httpx.get(f"{each.url}/open/mine/resolve/main/x", timeout=30).content == WEIGHTS
        begun = time.monotonic()
        assert httpx.get(f"{each.url}/open/unknown/resolve/main/x", timeout=30).status_code == 404
        assert time.monotonic() - begun < 3


@pytest.mark.fault
def test_the_mirror_is_killed(served: Any, line: Line, repo: str, commit: str) -> None:
    """With -9 while a file arrives: nothing is left of it, and the next reader gets it."""
    url = f"{served.url}/{repo}/resolve/{commit}/model.bin"
    line.stops_after = 6_000_000
    with httpx.stream("GET", url, timeout=60) as reply:
        assert next(reply.iter_raw())
        served.end(signal.SIGKILL)
    large = [path for path in served.data.rglob("*") if path.is_file() and path.stat().st_size > 1_000_000]
    assert not [path for path in large if "sqlite" not in path.name]
    line.stops_after = None
    line.is_open.set()
    served.start()
    assert httpx.get(url, timeout=60).content == WEIGHTS


@pytest.mark.fault
def test_it_ends_while_files_arrive(served: Any, line: Line, repo: str, commit: str) -> None:
    """Told to stop, it does not wait for the upstream."""
    line.stops_after = 6_000_000
    reading = threading.Event()

    def read() -> int:
        nbytes = 0
        with httpx.stream("GET", f"{served.url}/{repo}/resolve/{commit}/model.bin", timeout=60) as reply:
            for chunk in reply.iter_raw():
                nbytes += len(chunk)
                reading.set()
        return nbytes

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        assert reading.wait(30)
        assert served.end(signal.SIGTERM) == 0
        assert isinstance(reader.exception(), httpx.HTTPError)
