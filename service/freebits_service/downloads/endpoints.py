"""HTTP for reading files: the same bytes for everybody, the container for who asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from urllib.parse import quote

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from ..blobs.store import ObjectReader
from ..context import Hub
from ..http_context import Caller, HubDep, Segment
from ..mirror.fetch import Fetch
from ..mirror.reading import answer_arriving, joined
from ..routers import rest_router
from .locate import Located, Representation, Wanted, answer_for, cache_control, content_type, locate
from .pace import Pace
from .ranges import ByteRange, matches_none, parse_range, range_applies
from .redirect import presign, redirect_headers, redirector
from .sending import look_twice, send_pieces
from .stream import Piece, pieces

router = rest_router("downloads", reads_repos=True)
MoreHeaders = Callable[[Located], Mapping[str, str]]
_BYTES = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}


_FILE = "/repos/{namespace}/{name}/resolve/{revision}/{path:path}"


@router.head(_FILE, response_class=Response, include_in_schema=False)
@router.get(
    _FILE,
    response_class=Response,
    responses={
        200: _BYTES,
        206: _BYTES,
        304: {"description": "not modified"},
        307: {"description": "the store has these bytes; ask there, without the token"},
    },
)
async def resolve(
    *,
    namespace: Segment,
    name: Segment,
    revision: Segment,
    path: Segment,
    request: Request,
    hub: HubDep,
    caller: Caller,
) -> Response:
    """A file of a revision, whole or one range of it."""
    return await serve(request, hub, partial(locate, hub, caller, namespace, name, revision, path))


def no_more(_located: Located) -> Mapping[str, str]:
    """No further headers."""
    return {}


async def serve(request: Request, hub: Hub, find: Callable[[], Located], more: MoreHeaders = no_more) -> Response:
    """Answer a GET or HEAD of the file that `find` finds, as it is asked for: whole, a range, plain, as a container.

    `more` gives headers of a file beyond those that every answer has.
    """
    return await look_twice(find, lambda located: located.blob, partial(_answer, request, hub, find, more))


async def _answer(
    request: Request, hub: Hub, find: Callable[[], Located], more: MoreHeaders, located: Located
) -> Response:
    wanted = Wanted.of(request.headers.get("accept"))
    answer = answer_for(located, wanted)
    headers = {**_headers(located, answer, wanted), **more(located)}
    if matches_none(request.headers.get("if-none-match"), answer.etag):
        return Response(status_code=304, headers=headers)
    if request.method == "HEAD":
        return Response(headers={**headers, "Content-Length": str(answer.nbytes)})
    span = _requested(request, answer)
    if located.awaited_by is not None:
        fetch = await joined(request, located)
        # It may be here by now: then it is found anew.
        return await (_follow(request, fetch, answer, span, headers) if fetch else serve(request, hub, find, more))
    if presigner := redirector(hub, answer, request.headers.get("if-range")):
        location = await run_in_threadpool(presign, presigner, located, answer)
        return Response(status_code=307, headers={**redirect_headers(headers), "Location": location})
    return await _stream(request, hub, located, answer, span, headers)


def _requested(request: Request, answer: Representation) -> ByteRange | None:
    if not range_applies(request.headers.get("if-range"), answer.etag):
        return None
    return parse_range(request.headers.get("range"), answer.nbytes)


async def _stream(
    request: Request,
    hub: Hub,
    located: Located,
    answer: Representation,
    requested: ByteRange | None,
    headers: dict[str, str],
) -> Response:
    span = requested or ByteRange(0, answer.nbytes)
    status = _describe_span(headers, answer, requested)

    def make(reader: ObjectReader, pace: Pace) -> Iterator[Piece]:
        return pieces(reader, located.blob, answer, span, pace)

    return await send_pieces(request, hub, located.blob, answer, make, status_code=status, headers=headers)


async def _follow(
    request: Request, fetch: Fetch, answer: Representation, requested: ByteRange | None, headers: dict[str, str]
) -> Response:
    status = _describe_span(headers, answer, requested)
    return await answer_arriving(request, fetch, requested or ByteRange(0, answer.nbytes), status, headers)


def _describe_span(headers: dict[str, str], answer: Representation, requested: ByteRange | None) -> int:
    """Say in the headers which bytes are sent; the status."""
    if requested is None:
        headers["Content-Length"] = str(answer.nbytes)
        return 200
    headers["Content-Range"] = f"bytes {requested.start}-{requested.stop - 1}/{answer.nbytes}"
    headers["Content-Length"] = str(requested.stop - requested.start)
    return 206


def _headers(located: Located, answer: Representation, wanted: Wanted) -> dict[str, str]:
    kind = content_type(located.path, answer)
    disposition = "inline" if kind.startswith(("text/plain", "image/", "application/json")) else "attachment"
    return {
        "Accept-Ranges": "bytes",
        "Cache-Control": cache_control(located, answer, wanted),
        "Content-Disposition": f"{disposition}; filename*=UTF-8''{quote(located.file_name(answer), safe='')}",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Content-Type": kind,
        "ETag": answer.etag,
        "Vary": "Accept, Authorization",
        "X-Content-Type-Options": "nosniff",
        "X-Freebits-Commit": located.commit,
        "X-Freebits-Nbytes": str(located.blob.nbytes),
        "X-Freebits-Sha256": located.blob.sha256,
        "X-Freebits-State": located.state,
        "X-Freebits-Stored-Nbytes": str(located.blob.stored_nbytes),
        "X-Linked-Etag": f'"{located.blob.sha256}"',  # these three are for Hugging Face clients
        "X-Linked-Size": str(located.blob.nbytes),
        "X-Repo-Commit": located.commit,
    }
