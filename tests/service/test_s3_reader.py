"""Reading from S3: how many requests, what when answers break off, and what a store that fails is called."""

from __future__ import annotations

import io
import random
import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from freebits_service.blobs.s3 import S3BlobStore, reader
from freebits_service.blobs.s3.reader import FIRST_WINDOW_NBYTES, S3Reader
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


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "FIRST_WAIT_S", 0.0)


def test_reading_through_an_object_takes_few_requests() -> None:
    """The second read in sequence opens a window, the next window is larger."""
    server = Server()
    with S3Reader(server.get, KEY, len(CONTENT)) as opened:
        pieces = [opened.read_at(start, MIB) for start in range(0, len(CONTENT), MIB)]
    assert b"".join(pieces) == CONTENT
    first, second = MIB, MIB + FIRST_WINDOW_NBYTES
    assert server.asked == [(0, first), (first, second), (second, len(CONTENT))]


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
