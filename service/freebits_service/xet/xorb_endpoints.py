"""HTTP for xorbs: through the hub, or to the store itself by a grant where that gives presigned URLs."""

from __future__ import annotations

import asyncio

import structlog
from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from ..accounts.grants import Grant, Grants
from ..accounts.principal import Principal, require_user
from ..blobs.keys import new_xorb_key
from ..blobs.store import ObjectNotFound
from ..context import Hub
from ..errors import InvalidXet, PathNotFound, TooLarge
from ..hf.bodies import Json
from ..http_context import HubDep, granted
from ..metrics import RECEIVED
from ..routers import hf_router
from ..uploads.body import Body
from ..uploads.operations import part_presigner, require_room
from ..uploads.plan import PartPlan
from ..uploads.receive import receive_part
from . import queries
from .arriving import UnpackedPart
from .chunks import MAX_NBYTES
from .epochs import kept_until
from .hashes import is_hash
from .queries import Arrived
from .requests import Writer, announced_nbytes
from .schemas import NewXorb

DIRECT = "xet-xorb"
DIRECT_S = 3600

router = hf_router("/xet/{epoch}/v1")


@router.post("/xorbs/{prefix}/{xorb_hash}")
async def put_xorb(xorb_hash: str, request: Request, hub: HubDep, writer: Writer) -> Json:
    """Take the chunks of a xorb, and unpack them on the way."""
    plan = PartPlan(0, 0, announced_nbytes(request, MAX_NBYTES))
    key = new_xorb_key(_checked(xorb_hash))
    await run_in_threadpool(require_room, hub, plan.nbytes)
    await run_in_threadpool(hub.store.begin, key)
    try:
        with UnpackedPart(await run_in_threadpool(hub.store.write_part, key, 0, 0)) as part:
            await receive_part(Body(request), part, plan, None)
            await asyncio.to_thread(part.finish)
    except BaseException:
        await run_in_threadpool(hub.store.abort, key)
        raise
    await run_in_threadpool(hub.store.finish, key)
    arrived = Arrived(xorb_hash, key, part.nbytes, part.data_nbytes)
    is_new = await run_in_threadpool(_keep_xorb, hub, writer[0], arrived)
    RECEIVED.inc(plan.nbytes)
    return {"was_inserted": is_new}


def _keep_xorb(hub: Hub, caller: Principal, arrived: Arrived) -> bool:
    """Whether the object is the one that is kept; another one of the same name may be there already."""
    user_id = require_user(caller)
    # Run again when the same xorb arrived twice at this moment.
    kept = hub.db.run(lambda session: queries.keep_xorb(session, user_id, arrived, kept_until()))
    if kept != arrived.key:
        hub.store.delete(arrived.key)
    return kept == arrived.key


@router.post("/xorb-grants/{prefix}/{xorb_hash}")
def grant_xorb(
    *, prefix: str, xorb_hash: str, body: NewXorb, request: Request, hub: HubDep, writer: Writer
) -> JSONResponse:
    """An address of the store to PUT a xorb to; 404 where the store gives none, and clients send it to the hub then."""
    caller, grant = writer
    presigner = part_presigner(hub)
    if presigner is None:
        raise PathNotFound("xorb-grants", prefix)
    _checked(xorb_hash)
    if body.length > MAX_NBYTES:
        raise TooLarge(f"{body.length} bytes, at most {MAX_NBYTES} are taken", limit=MAX_NBYTES)
    if _keep_longer(hub, caller, xorb_hash):
        return JSONResponse({})
    key = new_xorb_key(xorb_hash)
    hub.store.begin(key)
    url = presigner.part(key, 0, DIRECT_S)
    grants: Grants = request.app.state.grants
    number, _ = grants.sign(caller, Grant(DIRECT, grant.repo, key), DIRECT_S)
    return JSONResponse({"id": number, "method": "PUT", "url": url, "headers": {}}, status_code=201)


def _keep_longer(hub: Hub, caller: Principal, xorb_hash: str) -> bool:
    user_id = require_user(caller)
    return hub.db.run(lambda session: queries.extend_xorb(session, user_id, xorb_hash, kept_until())) is not None


@router.post("/xorb-commits/{prefix}/{xorb_hash}/grant/{grant_id}")
def commit_xorb(*, prefix: str, xorb_hash: str, grant_id: str, request: Request, hub: HubDep, writer: Writer) -> Json:
    """What was PUT to the store is a xorb of the caller's from now on; 404 when nothing was."""
    caller, grant = granted(request, grant_id, DIRECT)
    key = grant.subject
    if caller.user_id != writer[0].user_id or f"/{xorb_hash}." not in key:
        raise PathNotFound(xorb_hash[:64], prefix)
    nbytes = _finished_nbytes(hub, key)
    if not nbytes:
        raise PathNotFound(xorb_hash, prefix)
    if nbytes > MAX_NBYTES:
        hub.store.delete(key)
        raise TooLarge(f"{nbytes} bytes, at most {MAX_NBYTES} are taken", limit=MAX_NBYTES)
    return {"was_inserted": _keep_xorb(hub, caller, Arrived(xorb_hash, key, nbytes, None))}


def _finished_nbytes(hub: Hub, key: str) -> int:
    """Finish what was PUT to the store, unless that was done before; its size, 0 when nothing has arrived."""
    try:
        if not hub.store.staged_parts(key):
            return 0
        hub.store.finish(key)
    except ObjectNotFound:
        structlog.get_logger().debug("a xorb was finished before", key=key)
    try:
        return hub.store.stat(key).nbytes
    except ObjectNotFound:
        return 0


def _checked(xorb_hash: str) -> str:
    if not is_hash(xorb_hash):
        raise InvalidXet(f"{xorb_hash[:80]!r} is no hash of a xorb")
    return xorb_hash
