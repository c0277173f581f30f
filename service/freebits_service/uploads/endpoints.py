"""HTTP for upload sessions."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Header, Request, Response
from starlette.concurrency import run_in_threadpool

from ..blobs.store import ObjectNotFound
from ..context import Hub
from ..errors import InvalidRequest, UploadNotFound
from ..http_context import Caller, HubDep, RowId, Segment
from ..metrics import RECEIVED
from ..names import is_sha256
from ..routers import API_PREFIX, rest_router
from ..schemas import NewUpload, Part, PartUrls, Upload
from . import completion, operations, staging
from .body import Body
from .in_order import IN_ORDER
from .plan import PartPlan, check_part_length, parse_numbers
from .receive import receive_checked, receive_part
from .staging import FoundUpload

router = rest_router("uploads", API_PREFIX + "/repos/{namespace}/{name}/uploads")


@router.post("", status_code=201, responses={200: {"model": Upload}})
def begin_upload(
    *,
    namespace: Segment,
    name: Segment,
    body: NewUpload,
    hub: HubDep,
    caller: Caller,
    response: Response,
) -> Upload:
    """Announce content: 201 and parts to send, or 200 and ``complete`` when the caller may use it already."""
    upload, is_new = operations.begin(hub, caller, namespace, name, body)
    response.status_code = 201 if is_new else 200
    return upload


@router.get("/{upload_id}")
def get_upload(*, namespace: Segment, name: Segment, upload_id: Segment, hub: HubDep, caller: Caller) -> Upload:
    """Which parts have been received, to go on after a cut."""
    return operations.describe(hub, caller, namespace, name, upload_id)


@router.get("/{upload_id}/parts/urls")
def presign_parts(
    *, namespace: Segment, name: Segment, upload_id: Segment, hub: HubDep, caller: Caller, numbers: str
) -> PartUrls:
    """URLs of the store for some parts (``numbers=0-99``), where the upload says ``direct``.

    Each takes one PUT without a token; `Content-MD5` lets the store check what arrives.
    """
    first, last = parse_numbers(numbers)
    return operations.presign_parts(hub, caller, namespace, name, upload_id, first, last)


@router.put(
    "/{upload_id}/parts/{number}",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string"}}},
        },
    },
)
async def put_part(
    *,
    namespace: Segment,
    name: Segment,
    upload_id: Segment,
    number: RowId,
    request: Request,
    hub: HubDep,
    caller: Caller,
    x_part_sha256: Annotated[str | None, Header()] = None,
    content_length: Annotated[str | None, Header()] = None,
) -> Part:
    """Send one part (from 0, in any order, again after a cut); all are ``part_nbytes`` long but the last."""
    if x_part_sha256 is not None and not is_sha256(x_part_sha256.lower()):
        raise InvalidRequest("X-Part-SHA256 must be 64 hex digits")
    found = await run_in_threadpool(operations.find, hub, caller, namespace, name, upload_id)
    plan = operations.plan_receiving(found, number)
    check_part_length(plan, content_length)
    received = await take_part(hub, found, plan, Body(request), x_part_sha256)
    return Part(number=plan.number, nbytes=plan.nbytes, sha256=received)


async def take_part(
    hub: Hub,
    found: FoundUpload,
    plan: PartPlan,
    body: Body,
    sha256: str | None = None,
    *,
    in_order: bool = False,
    is_all: bool = True,
) -> str:
    """Store one part as it arrives, and count it; its SHA-256. Raises PartMismatch, StorageFull, UploadNotFound.

    With `in_order` the sender means to send all parts one after another, and waits for each: then one has no digest of
    its own, and the whole is hashed as they come, and the answer is empty. Such parts become durable with the whole:
    what a power cut took is found when that is read again, and the sender begins anew.
    """
    with (
        IN_ORDER.turn(found.row.id, plan.number, counts=in_order and hub.store.is_exclusive) as turn,
        await run_in_threadpool(staging.open_part, hub, found, plan) as writer,
    ):
        try:
            if turn.digest is not None:
                await receive_part(body, writer, plan, turn.digest, is_all=is_all)
                received = ""
            else:
                received = await receive_checked(body, writer, plan, sha256, is_all=is_all)
        except ObjectNotFound:
            raise UploadNotFound(found.row.id) from None  # it was completed while this part arrived once more
        if turn.digest is None:
            # In threads of their own: a slow store must not use up those that answer everything else.
            await asyncio.to_thread(staging.finish_part, hub, found, writer)
        await run_in_threadpool(operations.note_part, hub, found, plan, received)
        turn.is_kept = True
    RECEIVED.inc(plan.nbytes)
    return received


@router.post("/{upload_id}/complete")
def complete_upload(*, namespace: Segment, name: Segment, upload_id: Segment, hub: HubDep, caller: Caller) -> Upload:
    """Verify all that was sent; afterwards the content can be committed. May take seconds per GiB."""
    return completion.complete(hub, caller, namespace, name, upload_id)


@router.delete("/{upload_id}", status_code=204)
def drop_upload(*, namespace: Segment, name: Segment, upload_id: Segment, hub: HubDep, caller: Caller) -> Response:
    """Drop an upload and what was received for it."""
    operations.drop(hub, caller, namespace, name, upload_id)
    return Response(status_code=204)
