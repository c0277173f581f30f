"""A file at the hub as a RangeSource: exact reads, or parallel read-ahead for a stream.

Reads go to the same representation (plain or container, by ETag) all the time. Memory while reading ahead:
(`lookahead` + 2) blocks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future

from freebits.blob_http import Answer, BlobTransport
from freebits.errors import IntegrityError, ProtocolError
from freebits.steps import RepresentationChanged

BLOCK_NBYTES = 4 << 20
LOOKAHEAD = 5
_HEAD_NBYTES = 256 << 10
_TAIL_NBYTES = 128 << 10
CONTAINER_TYPE = "application/vnd.freebits"


class RemoteFile:
    """One file at the hub.

    Thread-safe. `nbytes` counts the representation that is read, see `is_container`.
    """

    def __init__(
        self,
        transport: BlobTransport,
        path: str,
        *,
        accept_container: bool,
        executor: Executor,
        pin: Callable[[str], str] | None = None,
    ) -> None:
        """`pin(commit)` is the path to read on from once the answer has named the commit."""
        self._transport, self._path, self._executor = transport, path, executor
        self._headers = {"Accept": f"{CONTAINER_TYPE}, */*;q=0.5"} if accept_container else {}
        first = transport.get_range(path, self._headers, 0, _HEAD_NBYTES)
        self.is_container = _header(first, "Content-Type").partition(";")[0].strip() == CONTAINER_TYPE
        if not self.is_container:
            self._headers = {}
        if pin and _header(first, "X-Freebits-Commit"):
            self._path = pin(_header(first, "X-Freebits-Commit"))
        self._etag = _header(first, "ETag")
        self.sha256 = _header(first, "X-Freebits-Sha256") or None
        self.nbytes = _total_nbytes(first)
        self._head = first.body
        self._tail: memoryview | None = None
        self._is_reading_ahead = False
        self._origin: int | None = None
        self._blocks: dict[int, Future[memoryview]] = {}
        self._lock = threading.Lock()

    def read_at(self, offset: int, nbytes: int) -> bytes | memoryview:
        """Exactly `nbytes` bytes from `offset`.

        Raises RepresentationChanged when the hub swapped the file.
        """
        stop = offset + nbytes
        if offset < 0 or nbytes < 0 or stop > self.nbytes:
            raise IntegrityError(f"bytes {offset} to {stop} were asked of a file of {self.nbytes} bytes")
        pieces = []
        while offset < stop:
            pieces.append(self._piece(offset, stop))
            offset += len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def fetch_ahead(self) -> None:
        """Have the first blocks behind the head fetched, for a reader that goes on there once it is ready."""
        with self._lock:
            self._origin = len(self._head)
            self._request(self._origin, 0)

    def read_ahead(self) -> None:
        """From now on fetch whole blocks, and those that follow, in parallel.

        Without `fetch_ahead` the first read tells where the blocks begin, so that a resumed pull fetches nothing twice.
        """
        self._is_reading_ahead = True

    def close(self) -> None:
        """Drop blocks that nobody will read."""
        with self._lock:
            for block in self._blocks.values():
                block.cancel()

    def _piece(self, offset: int, stop: int) -> memoryview:
        """Some of the bytes [offset, stop), at least one."""
        if offset < len(self._head):
            return self._head[offset:stop]
        origin = self._block_origin(offset)
        if origin is None or offset < origin:
            return self._read_exactly(offset, stop)
        number, start = divmod(offset - origin, BLOCK_NBYTES)
        return self._block(origin, number)[start : start + stop - offset]

    def _block_origin(self, offset: int) -> int | None:
        with self._lock:
            if not self._is_reading_ahead:
                return None
            if self._origin is None:
                self._origin = offset
            return self._origin

    def _read_exactly(self, offset: int, stop: int) -> memoryview:
        tail_start = max(self.nbytes - _TAIL_NBYTES, len(self._head))
        if offset < tail_start:
            return self._fetch(offset, stop)
        if self._tail is None:
            # A container keeps its index at the end: one request brings it and what stands beside it.
            self._tail = self._fetch(tail_start, self.nbytes)
        return self._tail[offset - tail_start : stop - tail_start]

    def _block(self, origin: int, number: int) -> memoryview:
        with self._lock:
            for passed in [n for n in self._blocks if n < number - 1]:
                del self._blocks[passed]
            self._request(origin, number)
            wanted = self._blocks[number]
        return wanted.result()

    def _request(self, origin: int, number: int) -> None:
        last = min(number + LOOKAHEAD, (self.nbytes - origin - 1) // BLOCK_NBYTES)
        for n in range(number, last + 1):
            if n not in self._blocks:
                self._blocks[n] = self._executor.submit(self._fetch_block, origin, n)

    def _fetch_block(self, origin: int, number: int) -> memoryview:
        start = origin + number * BLOCK_NBYTES
        return self._fetch(start, min(start + BLOCK_NBYTES, self.nbytes))

    def _fetch(self, start: int, stop: int) -> memoryview:
        answer = self._transport.get_range(self._path, self._headers, start, stop)
        if _header(answer, "ETag") != self._etag:
            raise RepresentationChanged
        if answer.status != 206 or len(answer.body) != stop - start:
            raise ProtocolError(
                f"asked for {stop - start} bytes, got HTTP {answer.status} with {len(answer.body)}; "
                "a proxy between here and the hub may strip Range headers"
            )
        return answer.body


def _total_nbytes(first: Answer) -> int:
    """Size of the representation, from the answer to its first range."""
    if first.status == 200:
        return len(first.body)
    total = _header(first, "Content-Range").rpartition("/")[2]
    if not total.isdecimal():
        raise ProtocolError("a partial answer without a total in Content-Range; check that the endpoint is a hub")
    return int(total)


def _header(answer: Answer, name: str) -> str:
    headers: Mapping[str, str] = answer.headers
    return headers.get(name) or headers.get(name.lower()) or ""
