"""Send an object, as it is or decoded, in pieces of 1 MiB with bounded memory.

Pieces are made in a thread, two at a time, while the two before are being sent: at most 4 MiB per answer. 1 MiB because
smaller pieces cost a thread hop each (64 KiB is five times slower), larger ones only memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from itertools import islice

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from freebits_codecs import ContainerReader

from ..blobs.store import ObjectReader
from ..settings import MIB
from .locate import Representation
from .ranges import ByteRange

PIECE_NBYTES = MIB
BATCH = 2
Piece = bytes | memoryview


def pieces(reader: ObjectReader, answer: Representation, span: ByteRange) -> Iterator[Piece]:
    """The bytes ``[span.start, span.stop)`` of the representation; a decoded range touches only its chunks."""
    if answer.form == "decoded":
        return ContainerReader(reader).iter(span.start, span.stop)
    return _stored_pieces(reader, span)


def _stored_pieces(reader: ObjectReader, span: ByteRange) -> Iterator[Piece]:
    for start in range(span.start, span.stop, PIECE_NBYTES):
        yield reader.read_at(start, min(PIECE_NBYTES, span.stop - start))


class ReadAhead:
    """Runs an iterator in threads of `executor`, one batch of pieces ahead of its consumer."""

    def __init__(self, iterator: Iterator[Piece], executor: Executor) -> None:
        self._iterator = iterator
        self._executor = executor
        self._next: Future[list[Piece]] | None = None

    async def __aiter__(self) -> AsyncIterator[Piece]:
        self._next = self._submit()
        while batch := await asyncio.wrap_future(self._next):
            self._next = self._submit()
            for piece in batch:
                yield piece

    def when_idle(self, close: Callable[[], None]) -> None:
        """Call `close` as soon as no thread works on the iterator, at once if none does."""
        if self._next is None:
            close()
        else:
            self._next.add_done_callback(lambda _: close())

    def _submit(self) -> Future[list[Piece]]:
        return self._executor.submit(lambda: list(islice(self._iterator, BATCH)))


class ObjectResponse(StreamingResponse):
    """Streams pieces of an open object, which it closes at the end or when the client goes away."""

    def __init__(
        self,
        source: ReadAhead,
        close: Callable[[], None],
        *,
        status_code: int,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(source.__aiter__(), status_code=status_code, headers=headers)
        self._source = source
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all pieces; a client that disconnects cancels the rest."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._source.when_idle(self._close)
