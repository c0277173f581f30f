"""Send an object, as it is or decoded, in pieces of 1 MiB with bounded memory.

Pieces are made in a thread, two at a time, while the two before are being sent: at most 4 MiB per answer. 1 MiB because
smaller pieces cost a thread hop each (64 KiB is five times slower), larger ones only memory.
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
from ..settings import MIB
from .locate import Representation
from .ranges import ByteRange

PIECE_NBYTES = MIB
BATCH = 2
Piece = bytes | memoryview


def pieces(reader: ObjectReader, blob: Blob, answer: Representation, span: ByteRange) -> Iterator[Piece]:
    """The bytes ``[span.start, span.stop)`` of the representation; a decoded range touches only its chunks.

    Raises BlobDamaged, at once or later, rather than give wrong bytes: decoded chunks have checksums, and where raw
    bytes are read whole the last piece is held back until their SHA-256 is right. Ranges of raw bytes have no checksum
    of their own; who reads a file in ranges compares the whole.
    """
    stored_nbytes = blob.stored_nbytes if blob.container_key == answer.key else blob.nbytes
    if reader.nbytes != stored_nbytes:
        raise BlobDamaged(blob.sha256)
    try:
        if answer.form == "decoded":
            yield from ContainerReader(reader).iter(span.start, span.stop)
        elif answer.form == "raw" and span == ByteRange(0, answer.nbytes):
            yield from _hashed_pieces(reader, blob)
        else:
            yield from _stored_pieces(reader, span)
    except (CodecError, EOFError) as error:
        raise BlobDamaged(blob.sha256) from error


def _hashed_pieces(reader: ObjectReader, blob: Blob) -> Iterator[Piece]:
    digest = hashlib.sha256()
    held_back: Piece = b""
    for piece in _stored_pieces(reader, ByteRange(0, blob.nbytes)):
        if held_back:
            yield held_back
        digest.update(piece)
        held_back = piece
    if digest.hexdigest() != blob.sha256:
        raise BlobDamaged(blob.sha256)
    if len(held_back):
        yield held_back


def _stored_pieces(reader: ObjectReader, span: ByteRange) -> Iterator[Piece]:
    for start in range(span.start, span.stop, PIECE_NBYTES):
        yield reader.read_at(start, min(PIECE_NBYTES, span.stop - start))


class ReadAhead:
    """Runs an iterator in threads of `executor`, one batch of pieces ahead of its consumer."""

    def __init__(self, iterator: Iterator[Piece], executor: Executor) -> None:
        self._iterator = iterator
        self._executor = executor
        self._next: Future[list[Piece]] | None = None

    async def begin(self) -> None:
        """Wait for the first pieces; raises what making them raises, before anything of the answer is out."""
        self._next = self._submit()
        await asyncio.wrap_future(self._next)

    async def __aiter__(self) -> AsyncIterator[Piece]:
        if self._next is None:
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
