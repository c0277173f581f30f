"""HTTP for Xet downloads: what a file is made of, and the bytes of its xorbs, which are made while they are sent.

Nothing can be had by its digest alone. A token to read is for one repo, and both what a file is made of and the bytes
are given only as long as the token's user may read that repo and the repo holds the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from .frames import frames
from .layout import xorb_count, xorb_of
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


def _addresses(request: Request, caller: Principal, grant: Grant, sha256: str) -> Callable[[int], str]:
    """Gives the address of a xorb by its number. Clients send no token there: it carries a grant for the file."""
    grants: Grants = request.app.state.grants
    signed, _ = grants.sign(caller, Grant(BYTES, grant.repo, sha256), ADDRESSES_S)
    base = f"{base_of(request)}/xet/{current_epoch()}/v1/files/{sha256}/xorbs"
    return lambda number: f"{base}/{number}?grant={signed}"


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
    caller, read = await run_in_threadpool(_granted, request, grant)
    if read.subject != sha256:
        raise PathNotFound(sha256[:64], read.repo)
    find = partial(find_held, hub, caller, read, sha256)
    return await look_twice(find, lambda blob: blob, partial(_send, request, hub, number))


def _granted(request: Request, signed: str) -> tuple[Principal, Grant]:
    """Raises Forbidden, as stores do for addresses that have expired: clients ask for new ones then, and only then."""
    try:
        return granted(request, signed, BYTES)
    except Unauthenticated as error:
        raise Forbidden(error.message) from None


async def _send(request: Request, hub: Hub, number: int, blob: Blob) -> Response:
    answer = represent(blob, Wanted())
    if not 0 <= number < xorb_count(blob.nbytes):
        raise PathNotFound(f"xorb {number}", blob.sha256)
    xorb = xorb_of(blob.nbytes, number)
    requested = parse_range(request.headers.get("range"), xorb.nbytes)
    span = requested or ByteRange(0, xorb.nbytes)
    data = ByteRange(*xorb.data_range(span.start, span.stop))

    def make(reader: ObjectReader, pace: Pace) -> Iterator[Piece]:
        return frames(xorb, span, pieces(reader, blob, answer, data, pace))

    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-store",
        "Content-Length": str(span.stop - span.start),
        "Content-Type": "application/octet-stream",
        "X-Content-Type-Options": "nosniff",
    }
    if requested is not None:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{xorb.nbytes}"
    status = 200 if requested is None else 206
    return await send_pieces(request, hub, blob, answer, make, status_code=status, headers=headers)
