"""HTTP for Xet downloads: what a file is made of, and the bytes of its xorbs, which are made while they are sent.

Nothing can be had by its digest alone. A token to read is for one repo, and both what a file is made of and the bytes
are given only as long as the token's user may read that repo and the repo holds the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Annotated

from fastapi import Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from ..accounts.grants import Grant, Grants
from ..accounts.principal import Principal
from ..blobs.store import ObjectReader
from ..context import Hub
from ..downloads.locate import Wanted, represent
from ..downloads.pace import Pace
from ..downloads.ranges import ByteRange, parse_range
from ..downloads.sending import look_twice, send_pieces
from ..downloads.stream import Piece, pieces
from ..errors import Forbidden, PathNotFound, Unauthenticated
from ..hf.addresses import base_of
from ..http_context import HubDep, granted
from ..models import Blob
from ..repos.operations import readable_repo
from ..routers import hf_router
from . import queries
from .epochs import current_epoch
from .frames import frames, packed_frames
from .layout import GeneratedXorb, Term, xorb_count, xorb_of
from .packing import Packer, is_elsewhere
from .reconstruction import reconstruct
from .requests import BYTES, Reader

# How long addresses of xorbs are good for. A client that finds one expired asks for another one and waits before it
# uses that, up to a minute: minutes are short, seconds would be of no use.
ADDRESSES_S = 900

router = hf_router("/xet/{epoch}")


@router.get("/reconstruction/{sha256}")  # hf-xet up to 1.1.5
@router.get("/reconstructions/{sha256}")  # and up to 1.2
@router.get("/v1/reconstructions/{sha256}")
def reconstruction(sha256: str, request: Request, hub: HubDep, reader: Reader) -> Response:
    """What a file, or a range of it, is made of."""
    blob = find_held(hub, *reader, sha256)
    found = reconstruct(sha256, blob.nbytes, request.headers.get("range"))
    return _private(found.first_version(_addresses(request, *reader, sha256)))


@router.get("/v2/reconstructions/{sha256}")
def second_reconstruction(sha256: str, request: Request, hub: HubDep, reader: Reader) -> Response:
    """The same by the second version of the protocol, which clients ask for first."""
    blob = find_held(hub, *reader, sha256)
    found = reconstruct(sha256, blob.nbytes, request.headers.get("range"))
    return _private(found.second_version(_addresses(request, *reader, sha256)))


def _private(body: object) -> Response:
    return JSONResponse(body, headers={"Cache-Control": "private, no-store"})


def _addresses(request: Request, caller: Principal, grant: Grant, sha256: str) -> Callable[[Term], str]:
    """Gives the address of a term's chunks. Clients send no token there: it carries a grant for the file.

    Who may get them packed is sent to where they are all there is, for nobody knows beforehand where they lie then: a
    range of that is not asked for in earnest, and answered with the whole, as it may be.
    """
    grants: Grants = request.app.state.grants
    signed, _ = grants.sign(caller, Grant(BYTES, grant.repo, sha256), ADDRESSES_S)
    base = f"{base_of(request)}/xet/{current_epoch()}/v1/files/{sha256}/xorbs"
    is_packed = request.app.state.packing.is_on and is_elsewhere(request.scope)

    def address(term: Term) -> str:
        chunks = f"/chunks/{term.first}-{term.stop}" if is_packed else ""
        return f"{base}/{term.number}{chunks}?grant={signed}"

    return address


def find_held(hub: Hub, caller: Principal, grant: Grant, sha256: str) -> Blob:
    """Content that the grant's repo holds, if the caller may read that; raises RepoNotFound, PathNotFound."""
    with hub.db.snapshot() as session:
        repo = readable_repo(session, caller, *grant.address)
        blob = queries.held_blob(session, repo.id, sha256)
    if blob is None:
        raise PathNotFound(sha256[:64], grant.repo)
    return blob


@router.get("/v1/files/{sha256}/xorbs/{number}")
async def get_xorb(sha256: str, number: int, request: Request, hub: HubDep, grant: Annotated[str, Query()]) -> Response:
    """A xorb of a file, whole or one range of it."""
    find = await _finder(request, hub, grant, sha256)
    return await look_twice(find, lambda blob: blob, partial(_send, request, hub, number))


@router.get("/v1/files/{sha256}/xorbs/{number}/chunks/{first:int}-{stop:int}")
async def get_chunks(
    *,
    sha256: str,
    number: int,
    first: int,
    stop: int,
    request: Request,
    hub: HubDep,
    grant: Annotated[str, Query()],
) -> Response:
    """Some chunks of a xorb, packed where that is worth it, so that nobody knows how long they will be."""
    find = await _finder(request, hub, grant, sha256)
    return await look_twice(find, lambda blob: blob, partial(_send_chunks, request, hub, number, (first, stop)))


async def _finder(request: Request, hub: Hub, grant: str, sha256: str) -> Callable[[], Blob]:
    caller, read = await run_in_threadpool(_granted, request, grant)
    if read.subject != sha256:
        raise PathNotFound(sha256[:64], read.repo)
    return partial(find_held, hub, caller, read, sha256)


def _granted(request: Request, signed: str) -> tuple[Principal, Grant]:
    """Raises Forbidden, as stores do for addresses that have expired: clients ask for new ones then, and only then."""
    try:
        return granted(request, signed, BYTES)
    except Unauthenticated as error:
        raise Forbidden(error.message) from None


async def _send(request: Request, hub: Hub, number: int, blob: Blob) -> Response:
    xorb = _xorb_of(blob, number)
    requested = parse_range(request.headers.get("range"), xorb.nbytes)
    span = requested or ByteRange(0, xorb.nbytes)
    headers = {"Accept-Ranges": "bytes", "Content-Length": str(span.stop - span.start)}
    if requested is not None:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{xorb.nbytes}"
    data = ByteRange(*xorb.data_range(span.start, span.stop))
    return await _send_frames(request, hub, blob, data, partial(frames, xorb, span), headers)


async def _send_chunks(request: Request, hub: Hub, number: int, chunks: tuple[int, int], blob: Blob) -> Response:
    xorb, (first, stop) = _xorb_of(blob, number), chunks
    if not 0 <= first < stop <= xorb.chunk_count:
        raise PathNotFound(f"chunks {first}-{stop} of xorb {number}", blob.sha256)
    data = ByteRange(*xorb.data_range(xorb.chunk_offset(first), xorb.chunk_offset(stop)))
    packer = Packer(request.app.state.packing, request.client.host if request.client else "")
    make = partial(packed_frames, xorb, first, stop, packer=packer)
    return await _send_frames(request, hub, blob, data, make, {"Accept-Ranges": "none"})


def _xorb_of(blob: Blob, number: int) -> GeneratedXorb:
    if not 0 <= number < xorb_count(blob.nbytes):
        raise PathNotFound(f"xorb {number}", blob.sha256)
    return xorb_of(blob.nbytes, number)


async def _send_frames(
    request: Request,
    hub: Hub,
    blob: Blob,
    data: ByteRange,
    frame: Callable[[Iterator[Piece]], Iterator[Piece]],
    headers: Mapping[str, str],
) -> Response:
    """What `frame` makes of the bytes `data` of the file."""
    answer = represent(blob, Wanted())

    def make(reader: ObjectReader, pace: Pace) -> Iterator[Piece]:
        return frame(pieces(reader, blob, answer, data, pace))

    headers = {
        **headers,
        "Cache-Control": "private, no-store",
        "Content-Type": "application/octet-stream",
        "X-Content-Type-Options": "nosniff",
    }
    status = 206 if "Content-Range" in headers else 200
    return await send_pieces(request, hub, blob, answer, make, status_code=status, headers=headers)
