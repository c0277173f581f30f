"""Upload sessions: begin, say what is there, receive parts, drop. Their end is in ``completion.py``."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from sqlalchemy.orm import Session

from .. import schemas
from ..accounts.principal import Principal, require_user
from ..accounts.queries import record
from ..blobs import queries as blobs
from ..blobs.store import Presigner
from ..clock import in_seconds, now
from ..commits.queries import usable_blob_ids
from ..context import Hub
from ..errors import InvalidRequest, StorageFull, UploadNotFound
from ..models import Blob, Repo, Upload
from ..quotas.operations import check_announced as check_announced_quota
from ..repos.operations import writable_repo
from . import queries, staging
from .plan import PartPlan, check_announced, part_count, plan_part
from .staging import FoundUpload


def begin(
    hub: Hub,
    caller: Principal,
    namespace: str,
    name: str,
    body: schemas.NewUpload,
    part_nbytes: int | None = None,
) -> tuple[schemas.Upload, bool]:
    """A new upload, and whether bytes have to be sent: not when the caller may use the blob already.

    Its parts have `part_nbytes` bytes, by default what the settings say, or more where the store wants it.
    Raises TooLarge, QuotaExceeded, StorageFull, InvalidRequest, and what access raises.
    """
    check_announced(body, hub.settings.max_file_nbytes, hub.store.limits)
    upload_id = secrets.token_hex(16)
    with hub.db.snapshot() as session:
        repo = writable_repo(session, caller, namespace, name)
        check_announced_quota(session, hub.settings, repo, body)
        known = _usable_blob(session, caller, body) is not None
    if not known:
        require_room(hub, body.stored_nbytes)
    key = "" if known else staging.begin_object(hub, upload_id, body.encoding, body.sha256)

    def add(session: Session) -> FoundUpload:
        nonlocal known, key
        repo = writable_repo(session, caller, namespace, name)
        # Looked at again in the transaction that takes the lease: from here on the collector keeps the blob.
        if known and _usable_blob(session, caller, body, keep=True) is None:
            known, key = False, staging.begin_object(hub, upload_id, body.encoding, body.sha256)
        row = _new_row(hub, caller, repo, body, upload_id, key, part_nbytes or hub.settings.part_nbytes)
        queries.add_upload(session, row)
        record_upload(session, caller, "upload.begin", repo, row)
        return FoundUpload(repo, row)

    return _describe(hub, hub.db.run(add), ()), not known


def find(hub: Hub, caller: Principal, namespace: str, name: str, upload_id: str) -> FoundUpload:
    """The caller's upload; raises UploadNotFound and what access raises."""
    with hub.db.snapshot() as session:
        repo = writable_repo(session, caller, namespace, name)
        row = queries.find_upload(session, repo.id, require_user(caller), upload_id)
        if row is None:
            raise UploadNotFound(upload_id[:64])
        return FoundUpload(repo, row)


def describe(hub: Hub, caller: Principal, namespace: str, name: str, upload_id: str) -> schemas.Upload:
    """The caller's upload as the API shows it."""
    found = find(hub, caller, namespace, name, upload_id)
    received = () if found.row.state == "complete" else staging.received(hub, found)
    return _describe(hub, found, received)


def plan_receiving(found: FoundUpload, number: int) -> PartPlan:
    """Where a part goes; raises InvalidRequest when there is no such part or nothing more is received."""
    if found.row.state != "receiving":
        raise InvalidRequest(f"upload {found.row.id} is complete; it takes no more parts", upload=found.row.id)
    return plan_part(number, found.row.stored_nbytes, found.row.part_nbytes)


def part_presigner(hub: Hub) -> Presigner | None:
    """Who makes the URLs if clients may send parts to the store itself."""
    return hub.store.presigner if hub.settings.direct_uploads else None


def presign_parts(
    hub: Hub,
    caller: Principal,
    namespace: str,
    name: str,
    upload_id: str,
    first: int,
    last: int,
    *,
    lifetime_s: int | None = None,
) -> schemas.PartUrls:
    """URLs for the parts `first` to `last`; asking says that the upload lives.

    What arrives there is not counted: the store is asked what it has. Raises InvalidRequest where there are none.
    """
    found = find(hub, caller, namespace, name, upload_id)
    presigner = part_presigner(hub)
    if presigner is None:
        raise InvalidRequest("this hub takes parts itself: PUT them to .../parts/{number}")
    plans = [plan_receiving(found, number) for number in range(first, last + 1)]
    with hub.db.transaction() as session:
        queries.extend_upload(session, upload_id, in_seconds(hub.settings.upload_ttl_s))
    lifetime_s = lifetime_s or hub.settings.presign_s
    urls = staging.presign_parts(hub, presigner, found, plans, lifetime_s)
    items = [
        schemas.PartUrl(number=plan.number, nbytes=plan.nbytes, url=url) for plan, url in zip(plans, urls, strict=True)
    ]
    return schemas.PartUrls(items=items, expires_in_s=lifetime_s)


def note_part(hub: Hub, found: FoundUpload, plan: PartPlan, sha256: str) -> None:
    """Count a part whose bytes are in the staging area; raises UploadNotFound when the upload is gone."""
    with hub.db.transaction() as session:
        expires_at = in_seconds(hub.settings.upload_ttl_s)
        if not queries.put_part(session, found.row.id, plan.number, plan.nbytes, sha256, expires_at):
            raise UploadNotFound(found.row.id)


def drop(hub: Hub, caller: Principal, namespace: str, name: str, upload_id: str) -> None:
    """Forget an upload and what was received for it."""
    found = find(hub, caller, namespace, name, upload_id)
    with hub.db.transaction() as session:
        queries.delete_upload(session, found.row.id)
        record_upload(session, caller, "upload.drop", found.repo, found.row)
    if found.row.staging:
        hub.store.abort(found.row.staging)


def _usable_blob(session: Session, caller: Principal, body: schemas.NewUpload, *, keep: bool = False) -> Blob | None:
    blob = blobs.find_blob(session, body.sha256, keep=keep)
    if blob is None or blob.nbytes != body.nbytes or not blob.is_good:
        return None  # what is damaged is sent again, and healed by that
    return blob if usable_blob_ids(session, [blob.id], caller) else None


def record_upload(session: Session, caller: Principal, action: str, repo: Repo, row: Upload) -> None:
    """Note in the audit trail what became of an upload."""
    record(session, caller.name, action, repo.full_name, upload=row.id, sha256=row.sha256, nbytes=row.nbytes)


def require_room(hub: Hub, nbytes: int) -> None:
    """Raises StorageFull for bytes that would leave too little free."""
    free = hub.store.free_nbytes()
    if free is not None and free - nbytes < hub.settings.min_free_nbytes:
        raise StorageFull(f"an upload of {nbytes} bytes does not fit, {free} bytes are free on the hub's storage")


def _new_row(
    hub: Hub,
    caller: Principal,
    repo: Repo,
    body: schemas.NewUpload,
    upload_id: str,
    key: str,
    part_nbytes: int,
) -> Upload:
    return Upload(
        id=upload_id,
        repo_id=repo.id,
        user_id=require_user(caller),
        sha256=body.sha256,
        nbytes=body.nbytes,
        encoding=body.encoding,
        stored_nbytes=body.stored_nbytes,
        stored_sha256=body.stored_sha256,
        staging=key,
        state="receiving" if key else "complete",
        part_nbytes=hub.store.limits.part_nbytes_for(body.stored_nbytes, part_nbytes),
        created_at=now(),
        expires_at=in_seconds(hub.settings.upload_ttl_s),
    )


def _describe(hub: Hub, found: FoundUpload, received: Sequence[int]) -> schemas.Upload:
    row = found.row
    count = part_count(row.stored_nbytes, row.part_nbytes)
    return schemas.Upload.model_validate(
        {
            "id": row.id,
            "repo": found.repo.full_name,
            "sha256": row.sha256,
            "nbytes": row.nbytes,
            "encoding": row.encoding,
            "stored_nbytes": row.stored_nbytes,
            "part_nbytes": row.part_nbytes,
            "part_count": count,
            "state": row.state,
            "expires_at": row.expires_at,
            "received": range(count) if row.state == "complete" else received,
            "direct": part_presigner(hub) is not None,
        }
    )
