"""Reading from S3: how many requests, what when answers break off, and what a store that fails is called."""

from __future__ import annotations

import io
import random
import socket
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from freebits_service.blobs.s3 import S3BlobStore, reader
from freebits_service.blobs.s3.reader import FIRST_WINDOW_NBYTES, TAIL_NBYTES, WINDOW_GROWTH, S3Reader
from freebits_service.blobs.store import ObjectNotFound
from freebits_service.errors import StoreUnavailable
from freebits_service.settings import MIB, Settings

CONTENT = random.Random(9).randbytes(24 * MIB)
KEY = "blobs/raw/ab/" + "ab" * 32 + ".u-1-aa"


class Body(io.BytesIO):
    """An answer that times out after `limit` bytes, or ends early."""

    def __init__(self, content: bytes, limit: int, times_out: bool) -> None:
        super().__init__(content[:limit])
        self._times_out = times_out

    def read(self, nbytes: int | None = None, /) -> bytes:
        """Some bytes; none at the end, or an error."""
        piece = super().read(nbytes)
        if not piece and self._times_out:
            raise ReadTimeoutError(endpoint_url="http://store")
        return piece


class Server:
    """Answers ranges of CONTENT and remembers them; each answer breaks off after `limit` bytes."""

    def __init__(self, limit: int = len(CONTENT), times_out: bool = True) -> None:
        self.limit, self.times_out = limit, times_out
        self.asked: list[tuple[int, int]] = []

    def get(self, start: int, stop: int) -> Any:
        """The body of a range."""
        self.asked.append((start, stop))
        return Body(CONTENT[start:stop], self.limit, self.times_out)


class IgnoresRanges(BaseHTTPRequestHandler):
    """An S3 server of one object, of a MiB, that sends all of it whatever the range."""

    def do_HEAD(self) -> None:
        """The size."""
        self.send_response(200)
        self.send_header("Content-Length", str(MIB))
        self.send_header("Last-Modified", "Fri, 01 May 2026 00:00:00 GMT")
        self.end_headers()

    def do_GET(self) -> None:
        """Everything, for as long as anybody listens."""
        self.do_HEAD()
        with suppress(OSError):
            self.wfile.write(bytes(MIB))

    def log_message(self, *_: object) -> None:
        """Be quiet."""


class BreaksOff(IgnoresRanges):
    """The same, but it sends half of a range and goes away."""

    def do_GET(self) -> None:
        """The first half of the last bytes."""
        self.send_response(206)
        self.send_header("Content-Length", str(TAIL_NBYTES))
        self.send_header("Content-Range", f"bytes {MIB - TAIL_NBYTES}-{MIB - 1}/{MIB}")
        self.end_headers()
        self.wfile.write(bytes(TAIL_NBYTES // 2))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "FIRST_WAIT_S", 0.0)


def test_reading_through_an_object_takes_few_requests() -> None:
    """A window that is larger each time; what came with the size is not fetched again."""
    server = Server()
    with S3Reader(server.get, KEY, len(CONTENT), CONTENT[-TAIL_NBYTES:]) as opened:
        pieces = [opened.read_at(start, MIB) for start in range(0, len(CONTENT), MIB)]
    assert b"".join(pieces) == CONTENT
    first, second = FIRST_WINDOW_NBYTES, FIRST_WINDOW_NBYTES * (1 + WINDOW_GROWTH)
    assert server.asked == [(0, first), (first, second), (second, len(CONTENT) - TAIL_NBYTES)]


def test_reading_the_end_in_between_keeps_the_window() -> None:
    """As a container is read: its header, what is at its end, its chunks."""
    server = Server()
    with S3Reader(server.get, KEY, len(CONTENT), CONTENT[-TAIL_NBYTES:]) as opened:
        assert opened.read_at(0, 16) == CONTENT[:16]
        assert opened.read_at(len(CONTENT) - 68, 68) == CONTENT[-68:]
        assert opened.read_at(16, 100_000) == CONTENT[16:100_016]
        assert server.asked == [(0, FIRST_WINDOW_NBYTES)]
        start = len(CONTENT) - TAIL_NBYTES - 10
        assert opened.read_at(start, 20) == CONTENT[start : start + 20]
    assert server.asked[1:] == [(start, start + 20)]


def test_reading_here_and_there_fetches_what_was_asked() -> None:
    """No window for a read that does not follow another."""
    server = Server()
    with S3Reader(server.get, KEY, len(CONTENT)) as opened:
        for start in (5 * MIB, 1000, 0):
            assert opened.read_at(start, 10) == CONTENT[start : start + 10]
    assert server.asked == [(5 * MIB, 5 * MIB + 10), (1000, 1010), (0, 10)]


@pytest.mark.parametrize("times_out", [True, False])
def test_an_answer_that_breaks_off_is_asked_for_again_from_there(times_out: bool) -> None:
    """Whether with an error or too short; nothing is fetched twice."""
    server = Server(limit=3 * MIB, times_out=times_out)
    with S3Reader(server.get, KEY, len(CONTENT)) as opened:
        assert b"".join(opened.read_at(start, 2 * MIB) for start in range(0, len(CONTENT), 2 * MIB)) == CONTENT
    assert len(server.asked) < 14


def test_a_store_that_gives_nothing_is_unavailable() -> None:
    """After a few tries without a byte in between."""
    server = Server(limit=0)
    with S3Reader(server.get, KEY, len(CONTENT)) as opened, pytest.raises(StoreUnavailable):
        opened.read_at(0, 10)
    assert len(server.asked) == reader.BREAKS + 1


@pytest.mark.parametrize("nbytes", [0, 1, TAIL_NBYTES - 1, TAIL_NBYTES, TAIL_NBYTES + 1, 2 * MIB])
def test_opening_tells_the_size(s3_place: dict[str, Any], nbytes: int) -> None:
    """Of empty objects, of those that come whole with it, and of larger ones."""
    store = S3BlobStore(Settings(**s3_place))
    store.begin(KEY)
    if nbytes:
        with store.write_part(KEY, 0, 0) as part:
            part.write([CONTENT[:nbytes]])
            part.finish()
    store.finish(KEY)
    with store.open(KEY) as opened:
        assert opened.nbytes == nbytes
        assert opened.read_at(0, nbytes) == CONTENT[:nbytes]


@pytest.mark.parametrize("server", [IgnoresRanges, BreaksOff])
def test_a_server_that_gives_no_end_is_asked_for_the_size(
    s3_place: dict[str, Any], server: type[BaseHTTPRequestHandler]
) -> None:
    """One that sends the whole object, or fails in the middle of the last bytes."""
    with ThreadingHTTPServer(("127.0.0.1", 0), server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{running.server_port}"
        with S3BlobStore(Settings(**{**s3_place, "s3_endpoint": endpoint})).open(KEY) as opened:
            assert opened.nbytes == MIB
        running.shutdown()


@pytest.mark.parametrize(
    "action",
    [
        lambda store: store.check(),
        lambda store: store.begin(KEY),
        lambda store: list(store.list("blobs/")),
        lambda store: list(store.list_staged()),
    ],
    ids=["check", "begin", "list", "list_staged"],
)
@pytest.mark.parametrize("reason", ["no such bucket", "wrong secret", "nobody listens"])
def test_what_is_no_fault_of_the_request_is_an_unavailable_store(
    s3_place: dict[str, Any], monkeypatch: pytest.MonkeyPatch, reason: str, action: Callable[[S3BlobStore], object]
) -> None:
    """The hub's configuration, or the store: in either case callers may try again later."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        free = f"http://127.0.0.1:{taken.getsockname()[1]}"
    changes = {
        "no such bucket": {"s3_bucket": "freebits-no-such-bucket"},
        "wrong secret": {},
        "nobody listens": {"s3_endpoint": free},
    }[reason]
    if reason == "wrong secret":
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    store = S3BlobStore(Settings(**{**s3_place, **changes}))
    with pytest.raises(StoreUnavailable):
        action(store)


def test_reading_what_is_absent_is_not_an_outage(s3_place: dict[str, Any]) -> None:
    """An object that is not there is told apart."""
    store = S3BlobStore(Settings(**s3_place))
    with pytest.raises(ObjectNotFound):
        store.open(KEY)
    store.delete(KEY)
    store.abort(KEY)
