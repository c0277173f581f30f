"""Open an object and begin to send it, with its blob counted as being read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import TypeVar

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from ..blobs.store import ObjectNotFound, ObjectReader
from ..context import Hub
from ..errors import BlobDamaged
from ..expansions.operations import Expansion, Expansions
from ..models import Blob
from .arriving import ArrivingResponse, wait_while_errors_can_be_told
from .leases import OpenBlobs
from .locate import Representation
from .pace import Pace
from .stream import ObjectResponse, Piece, ReadAhead

Found = TypeVar("Found")
MakePieces = Callable[[ObjectReader, Pace], Iterator[Piece]]


async def look_twice(
    find: Callable[[], Found], blob_of: Callable[[Found], Blob], answer: Callable[[Found], Awaitable[Response]]
) -> Response:
    """Find and answer; once more when the object was gone: swapped by a worker and collected in between.

    Raises BlobDamaged when it is gone the second time, and what the two raise.
    """
    try:
        return await answer(await run_in_threadpool(find))
    except ObjectNotFound:
        found = await run_in_threadpool(find)
        try:
            return await answer(found)
        except ObjectNotFound:
            raise BlobDamaged(blob_of(found).sha256) from None


async def send_pieces(
    request: Request,
    hub: Hub,
    blob: Blob,
    answer: Representation,
    make: MakePieces,
    *,
    status_code: int,
    headers: Mapping[str, str],
) -> Response:
    """An answer of the pieces that `make` makes of what holds the representation.

    Raises ObjectNotFound, and what making the first pieces raises, before anything of the answer is out.
    """
    if answer.form == "expanded":
        return await _send_expanded(request, blob, make, status_code=status_code, headers=headers)
    reader = await run_in_threadpool(hub.store.open, answer.key)
    pace = Pace(request.app.state.read_ahead)
    close = _leased(request.app.state.open_blobs, blob.id, reader)
    source = await _begun(ReadAhead(make(reader, pace), request.app.state.readers, pace), close)
    return ObjectResponse(source, close, status_code=status_code, headers=headers)


async def _begun(source: ReadAhead, close: Callable[[], None]) -> ReadAhead:
    with ExitStack() as undo:
        undo.callback(source.when_idle, close)
        await source.begin()
        undo.pop_all()
    return source


async def _send_expanded(
    request: Request, blob: Blob, make: MakePieces, *, status_code: int, headers: Mapping[str, str]
) -> Response:
    """The same from the file that a symmetric form is expanded to; behind the headers if that takes long."""
    expansions: Expansions = request.app.state.expansions
    expansion = await expansions.join(blob)
    await wait_while_errors_can_be_told(expansion.reader(), expansion.leave)
    pace = Pace(request.app.state.read_ahead)

    def source_of(reader: ObjectReader) -> ReadAhead:
        made = _forgotten_if_damaged(make(reader, pace), expansions, blob.sha256)
        return ReadAhead(made, request.app.state.readers, pace)

    if not expansion.is_here:
        body = _when_here(expansion, source_of)
        return ArrivingResponse(body, expansion.leave, status_code=status_code, headers=headers)
    try:
        source = await _begun(source_of(await expansion.reader()), expansion.leave)
    except BlobDamaged:
        raise ObjectNotFound(blob.sha256) from None  # only this copy is: it is made again, when one looks again
    return ObjectResponse(source, expansion.leave, status_code=status_code, headers=headers)


async def _when_here(expansion: Expansion, source_of: Callable[[ObjectReader], ReadAhead]) -> AsyncIterator[Piece]:
    source = source_of(await expansion.reader())
    expansion.use()  # a thread may still be reading when the client goes away
    try:
        async for piece in source:
            yield piece
    finally:
        source.when_idle(expansion.leave)


def _forgotten_if_damaged(made: Iterator[Piece], expansions: Expansions, sha256: str) -> Iterator[Piece]:
    """The pieces of a file that was right when it was written; the next reader gets a new one if it is not any more."""
    try:
        yield from made
    except BlobDamaged:
        expansions.forget(sha256)
        raise


def _leased(open_blobs: OpenBlobs, blob_id: int, reader: ObjectReader) -> Callable[[], None]:
    """Count the reader; the returned function ends it."""
    open_blobs.opened(blob_id)

    def close() -> None:
        reader.close()
        open_blobs.closed(blob_id)

    return close
