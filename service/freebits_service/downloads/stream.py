"""Send an object, as it is or decoded, in pieces with bounded memory.

Pieces are made in a thread, one batch ahead of the one that is being sent; ``pace.py`` says how large they are.
1 MiB where there is room, because smaller pieces cost a thread hop each (64 KiB is five times slower), larger ones
only memory.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from itertools import islice

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from freebits_codecs import ContainerReader
from freebits_codecs.errors import CodecError

from ..blobs.store import ObjectReader
from ..errors import BlobDamaged
from ..models import Blob
from .locate import Representation
from .pace import Pace
from .ranges import ByteRange

Piece = bytes | memoryview


def pieces(reader: ObjectReader, blob: Blob, answer: Representation, span: ByteRange, pace: Pace) -> Iterator[Piece]:
    """The bytes ``[span.start, span.stop)`` of the representation; a decoded range touches only its chunks.

    `reader` is of the object, or of the file that was made of it when that is expanded.

    Raises BlobDamaged, at once or later, rather than give wrong bytes: decoded chunks have checksums, and where raw
    bytes are read whole the last piece is held back until their SHA-256 is right. Ranges of raw bytes have no checksum
    of their own; who reads a file in ranges compares the whole.
    """
    stored_nbytes = blob.stored_nbytes if answer.form == "decoded" else answer.nbytes
    if reader.nbytes != stored_nbytes:
        raise BlobDamaged(blob.sha256)
    try:
        if answer.form == "decoded":
            yield from _decoded_pieces(ContainerReader(reader), span, pace)
        elif answer.form in {"raw", "expanded"} and span == ByteRange(0, answer.nbytes):
            yield from _hashed_pieces(reader, blob, pace)
        else:
            yield from _stored_pieces(reader, span, pace)
    except (CodecError, EOFError) as error:
        raise BlobDamaged(blob.sha256) from error


def _hashed_pieces(reader: ObjectReader, blob: Blob, pace: Pace) -> Iterator[Piece]:
    digest = hashlib.sha256()
    held_back: Piece = b""
    for piece in _stored_pieces(reader, ByteRange(0, blob.nbytes), pace):
        if held_back:
            yield held_back
        digest.update(piece)
        held_back = piece
    if digest.hexdigest() != blob.sha256:
        raise BlobDamaged(blob.sha256)
    if len(held_back):
        yield held_back


def _decoded_pieces(container: ContainerReader, span: ByteRange, pace: Pace) -> Iterator[Piece]:
    start, window = span.start, container.chunk_nbytes
    pace.window_nbytes = window
    while start < span.stop:
        stop = min(span.stop, start + pace.piece_nbytes, (start // window + 1) * window)
        is_part = stop - start < window
        for piece in container.iter(start, stop):
            # A part is copied: as a view it would keep the whole window in memory.
            yield bytes(piece) if is_part else piece
        start = stop


def _stored_pieces(reader: ObjectReader, span: ByteRange, pace: Pace) -> Iterator[Piece]:
    start = span.start
    while start < span.stop:
        stop = min(span.stop, start + pace.piece_nbytes)
        yield reader.read_at(start, stop - start)
        start = stop


class ReadAhead:
    """Runs an iterator in threads of `executor`, one batch of pieces ahead of its consumer."""

    def __init__(self, iterator: Iterator[Piece], executor: Executor, pace: Pace) -> None:
        self._iterator = iterator
        self._executor = executor
        self._pace = pace
        self._next: Future[list[Piece]] | None = None
        self._next_taken = self._taken = 0  # of the budget: for the batch ahead, and for the one being sent

    async def begin(self) -> None:
        """Wait for the first pieces; raises what making them raises, before anything of the answer is out."""
        self._submit()
        assert self._next is not None
        await asyncio.wrap_future(self._next)

    async def __aiter__(self) -> AsyncIterator[Piece]:
        if self._next is None:
            self._submit()
        while batch := await self._received():
            self._submit()
            nbytes = sum(map(len, batch))
            batch.reverse()
            while batch:
                yield batch.pop()
            self._end_batch(nbytes)

    def when_idle(self, close: Callable[[], None]) -> None:
        """Call `close` as soon as no thread works on the iterator, at once if none does. Nothing more will be read."""
        self._end_batch(0)
        self._pace.end_batch(0, self._next_taken)
        self._next_taken = 0
        if self._next is None:
            close()
        else:
            self._next.add_done_callback(lambda _: close())

    def _submit(self) -> None:
        count, self._next_taken = self._pace.begin_batch()
        self._next = self._executor.submit(lambda: list(islice(self._iterator, count)))

    async def _received(self) -> list[Piece]:
        assert self._next is not None
        batch = await asyncio.wrap_future(self._next)
        self._taken, self._next_taken = self._next_taken, 0
        return batch

    def _end_batch(self, nbytes: int) -> None:
        self._pace.end_batch(nbytes, self._taken)
        self._taken = 0


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
