"""Open an object and begin to send it, with its blob counted as being read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TypeVar

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from ..blobs.store import ObjectNotFound, ObjectReader
from ..context import Hub
from ..errors import BlobDamaged
from ..models import Blob
from .leases import OpenBlobs
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
    key: str,
    make: MakePieces,
    *,
    status_code: int,
    headers: Mapping[str, str],
) -> Response:
    """An answer of the pieces that `make` makes of the object under `key`, one of the blob's.

    Raises ObjectNotFound, and what making the first pieces raises, before anything of the answer is out.
    """
    reader = await run_in_threadpool(hub.store.open, key)
    pace = Pace(request.app.state.read_ahead)
    close = _leased(request.app.state.open_blobs, blob.id, reader)
    source = ReadAhead(make(reader, pace), request.app.state.readers, pace)
    try:
        await source.begin()
    except BaseException:
        source.when_idle(close)
        raise
    return ObjectResponse(source, close, status_code=status_code, headers=headers)


def _leased(open_blobs: OpenBlobs, blob_id: int, reader: ObjectReader) -> Callable[[], None]:
    """Count the reader; the returned function ends it."""
    open_blobs.opened(blob_id)

    def close() -> None:
        reader.close()
        open_blobs.closed(blob_id)

    return close
