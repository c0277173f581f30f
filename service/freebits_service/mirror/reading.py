"""What endpoints that read do about the upstream: bring a revision here first, and send a file while it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Executor

from fastapi import Request

from ..downloads.arriving import ArrivingResponse, wait_while_errors_can_be_told
from ..downloads.locate import Located
from ..downloads.pace import Pace
from ..downloads.ranges import ByteRange
from ..errors import UpstreamUnavailable
from ..hf.addresses import kind_of
from ..http_context import Caller, unquote_segment
from ..names import DEFAULT_BRANCH
from .fetch import Fetch
from .lookups import Mirror, Wanted


async def bring_first(request: Request, caller: Caller) -> None:
    """A dependency of everything that reads a repo: have it here, if the upstream has it.

    Raises UpstreamUnavailable, UpstreamWrong.
    """
    mirror: Mirror | None = request.app.state.mirror
    path = request.scope["path"]
    reads = request.method in {"GET", "HEAD"} or "/paths-info/" in path
    named = {name: unquote_segment(value) for name, value in request.path_params.items()}
    if mirror is None or not reads or not {"namespace", "name"} <= named.keys():
        return
    kind = None if path.startswith("/api/v1/") else kind_of(request)
    wanted = Wanted(kind, named["namespace"], named["name"], named.get("revision") or DEFAULT_BRANCH)
    await mirror.bring(caller, wanted, request.headers.get("via", ""))


async def joined(request: Request, located: Located) -> Fetch | None:
    """The fetch of a file that is awaited, to be left in the end; None when its bytes are here after all.

    Raises UpstreamUnavailable, StorageFull.
    """
    mirror: Mirror | None = request.app.state.mirror
    if mirror is None:
        raise UpstreamUnavailable("this file was never fetched, and the hub has no upstream any more to fetch it from")
    return await mirror.fetches.join(located)


async def answer_arriving(
    request: Request, fetch: Fetch, span: ByteRange, status: int, headers: Mapping[str, str]
) -> ArrivingResponse:
    """The answer to a GET of a file that arrives; raises what became of the fetch while that can be told."""
    if span.start < span.stop:
        await wait_while_errors_can_be_told(fetch.readable(span.start), fetch.leave)
    body = _pieces(fetch, span, Pace(request.app.state.read_ahead), request.app.state.readers)
    return ArrivingResponse(body, fetch.leave, status_code=status, headers=headers)


async def _pieces(fetch: Fetch, span: ByteRange, pace: Pace, readers: Executor) -> AsyncIterator[bytes]:
    start, loop = span.start, asyncio.get_running_loop()
    while start < span.stop:
        readable = min(span.stop, await fetch.readable(start))
        while start < readable:
            _, taken = pace.begin_batch()
            piece = b""
            try:
                wanted = min(readable - start, pace.piece_nbytes)
                piece = await loop.run_in_executor(readers, fetch.read_at, start, wanted)
                yield piece
            finally:
                pace.end_batch(len(piece), taken)
            start += len(piece)
