"""Git LFS: the batch API, and transfers ``basic`` and ``multipart`` (the one that huggingface_hub has made of it).

An upload here is an upload session of the REST API under other addresses. Clients send bytes without their token, so
that the addresses carry a grant, or are presigned by the store. SHA-256 is verified when an upload is completed; until
then no commit can name the content.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from .. import schemas
from ..accounts.grants import Grant, Grants
from ..accounts.principal import Principal
from ..commits.queries import find_blobs
from ..context import Hub
from ..downloads.endpoints import serve
from ..downloads.locate import Located
from ..errors import BlobMissing, PartMismatch, PathNotFound, ServiceError
from ..http_context import Caller, HubDep, Segment, granted
from ..http_errors import STATUS
from ..quotas.queries import holds
from ..repos.operations import readable_repo, writable_repo
from ..routers import hf_router
from ..uploads import completion, operations
from ..uploads.body import Body
from ..uploads.endpoints import take_part
from ..uploads.plan import check_part_length
from .addresses import REPO_FILES, Kind, base_of
from .bodies import Json
from .schemas import LfsBatch, LfsObject

MEDIA_TYPE = "application/vnd.git-lfs+json"
GRANT_S = 12 * 3600  # parts are sent one after another, over any link
# How many parts of the settings' size one of LFS is: clients send them one after another, and wait for each answer.
SPOOLED_FACTOR, WRITTEN_FACTOR = 4, 16  # by whether the hub gathers a part to send it on, or writes what comes
UPLOAD, DOWNLOAD = "lfs-upload", "lfs-download"

batches = hf_router(REPO_FILES + ".git/info/lfs/objects")
transfers = hf_router("/lfs")


class LfsResponse(JSONResponse):
    """JSON of git-lfs' own type."""

    media_type = MEDIA_TYPE


@batches.post("/batch")
def batch(
    *, namespace: Segment, name: Segment, body: LfsBatch, request: Request, hub: HubDep, caller: Caller, kind: Kind
) -> Response:
    """Where each of some objects is to be sent or had; nothing to do for those that the caller has sent before."""
    look = readable_repo if body.operation == "download" else writable_repo
    with hub.db.snapshot() as session:
        repo = look(session, caller, namespace, name, kind)
    desk = _Desk(hub, caller, (repo.namespace, repo.name), request.app.state.grants, base_of(request))
    multipart = "multipart" in body.transfers
    answer = desk.download if body.operation == "download" else partial(desk.upload, multipart=multipart)
    objects = [_answered(answer, wanted) for wanted in body.objects]
    transfer = "multipart" if multipart and body.operation == "upload" else "basic"
    return LfsResponse({"transfer": transfer, "objects": objects, "hash_algo": "sha256"})


def _answered(answer: Callable[[LfsObject], Json], wanted: LfsObject) -> Json:
    """An object that cannot be had has its own error; the others go on."""
    facts: Json = {"oid": wanted.oid, "size": wanted.size}
    try:
        return {**facts, **answer(wanted)}
    except ServiceError as error:
        return {**facts, "error": {"code": STATUS[error.code], "message": error.message}}


@dataclass(frozen=True, slots=True)
class _Desk:
    """Makes the addresses of one batch."""

    hub: Hub
    caller: Principal
    address: tuple[str, str]  # namespace and name of the repo
    grants: Grants
    base: str

    def upload(self, wanted: LfsObject, *, multipart: bool) -> Json:
        """Nothing, or where to send the object; where to verify it only if it was not when sending it was answered."""
        body = schemas.NewUpload(
            sha256=wanted.oid, nbytes=wanted.size, stored_nbytes=wanted.size, stored_sha256=wanted.oid
        )
        factor = WRITTEN_FACTOR if self.hub.store.is_exclusive else SPOOLED_FACTOR
        part_nbytes = factor * self.hub.settings.part_nbytes
        upload, is_new = operations.begin(self.hub, self.caller, *self.address, body, part_nbytes)
        if not is_new:
            return {}
        if upload.direct and upload.part_count == 1:  # then the hub sees no end of it, unless it is told
            href = self._presigned(upload)[0]
            return {"actions": {"upload": {"href": href}, "verify": {"href": self._of_upload(upload, "/verify")}}}
        in_parts = multipart and upload.part_count > 1
        return {"actions": {"upload": self._parts(upload) if in_parts else {"href": self._of_upload(upload, "")}}}

    def _parts(self, upload: schemas.Upload) -> Json:
        if upload.direct:
            urls = self._presigned(upload)
        else:
            whole, _, grant = self._of_upload(upload, "/parts").partition("?")
            urls = [f"{whole}/{number}?{grant}" for number in range(upload.part_count)]
        header = {str(number): url for number, url in enumerate(urls, 1)}
        return {
            "href": self._of_upload(upload, "/complete"),
            "header": {"chunk_size": str(upload.part_nbytes), **header},
        }

    def _presigned(self, upload: schemas.Upload) -> list[str]:
        last = upload.part_count - 1
        presign = partial(operations.presign_parts, self.hub, self.caller, *self.address, upload.id, 0, last)
        return [part.url for part in presign(lifetime_s=GRANT_S).items]

    def _of_upload(self, upload: schemas.Upload, rest: str) -> str:
        return f"{self.base}/lfs/uploads/{upload.id}{rest}?grant={self._grant(UPLOAD, upload.id)}"

    def download(self, wanted: LfsObject) -> Json:
        """Where to get an object that the repo holds."""
        with self.hub.db.snapshot() as session:
            repo = readable_repo(session, self.caller, *self.address)
            if not holds(session, repo.id, wanted.oid):
                raise BlobMissing([wanted.oid])
        href = f"{self.base}/lfs/objects/{wanted.oid}?grant={self._grant(DOWNLOAD, wanted.oid)}"
        return {"actions": {"download": {"href": href, "expires_in": GRANT_S}}}

    def _grant(self, purpose: str, subject: str) -> str:
        return self.grants.sign(self.caller, Grant(purpose, "/".join(self.address), subject), GRANT_S)[0]


@dataclass(frozen=True, slots=True)
class _Granted:
    """Who may do something with one upload, and the upload's address."""

    caller: Principal
    address: tuple[str, str, str]  # namespace, name, upload id


def _granted_upload(upload_id: Segment, request: Request, grant: Annotated[str, Query()]) -> _Granted:
    caller, read = granted(request, grant, UPLOAD)
    if read.subject != upload_id:
        raise PathNotFound(upload_id[:64], "uploads")
    return _Granted(caller, (*read.address, upload_id))


GrantedUpload = Annotated[_Granted, Depends(_granted_upload)]


@transfers.put("/uploads/{upload_id}/parts/{number}")
async def put_part(number: int, request: Request, hub: HubDep, granted: GrantedUpload) -> Response:
    """Take one part."""
    found = await run_in_threadpool(operations.find, hub, granted.caller, *granted.address)
    plan = operations.plan_receiving(found, number)
    check_part_length(plan, request.headers.get("content-length"))
    await take_part(hub, found, plan, Body(request), in_order=True)
    return Response(headers={"ETag": f'"{found.row.id}-{number}"'})


@transfers.put("/uploads/{upload_id}")
async def put_whole(request: Request, hub: HubDep, granted: GrantedUpload) -> Response:
    """Take a whole object, of any length, part by part as it arrives, and verify it."""
    found = await run_in_threadpool(operations.find, hub, granted.caller, *granted.address)
    body = Body(request)
    for number in range(found.part_count):
        plan = operations.plan_receiving(found, number)
        await take_part(hub, found, plan, body, in_order=True, is_all=False)
    if await body.is_more():
        raise PartMismatch(f"the object has {found.row.nbytes} bytes, more arrived", nbytes=found.row.nbytes)
    await run_in_threadpool(completion.complete, hub, granted.caller, *granted.address)
    return Response(headers={"ETag": f'"{found.row.sha256}"'})


@transfers.post("/uploads/{upload_id}/complete")
@transfers.post("/uploads/{upload_id}/verify")
def complete(hub: HubDep, granted: GrantedUpload) -> Json:
    """Verify what was sent, once all is there; doing it again changes nothing."""
    completion.complete(hub, granted.caller, *granted.address)
    return {}


@transfers.head("/objects/{oid}")
@transfers.get("/objects/{oid}")
async def get_object(oid: Segment, request: Request, hub: HubDep, grant: Annotated[str, Query()]) -> Response:
    """An object of a repo, whole or one range of it."""
    caller, read = await run_in_threadpool(granted, request, grant, DOWNLOAD)
    if read.subject != oid:
        raise PathNotFound(oid[:64], "objects")

    def find() -> Located:
        with hub.db.snapshot() as session:
            repo = readable_repo(session, caller, *read.address)
            blob = find_blobs(session, [oid]).get(oid)
            if blob is None or not holds(session, repo.id, oid):
                raise BlobMissing([oid])
        return Located(oid, "", blob, repo.visibility == "public", by_commit=True)

    return await serve(request, hub, find)
