"""Upload sessions: begin, receive parts, complete, drop.

Completion verifies before it keeps: SHA-256 over the stored bytes, and for a container over what it decodes
to. Then the object gets its key, and one transaction makes the upload complete and the blob known. A crash in
between leaves an object under a key that only this upload can have; completing again finds it there and goes
on.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy.orm import Session

from .. import schemas
from ..accounts.principal import Principal, require_user
from ..blobs import queries as blobs
from ..blobs.keys import container_key, raw_key, upload_origin
from ..blobs.store import ObjectNotFound, ObjectReader
from ..blobs.verify import check_bytes, check_container, sha256_of
from ..clock import in_seconds, now
from ..commits.queries import usable_blob_ids
from ..context import Hub
from ..errors import DigestMismatch, InvalidRequest, PartsMissing, StorageFull, UploadNotFound
from ..jobs.queries import cancel_jobs_of_blob
from ..models import Blob, Repo, Upload, UploadPart
from ..repos.operations import writable_repo
from . import queries
from .plan import PartPlan, check_announced, part_count, part_nbytes_for, plan_part


@dataclass(frozen=True, slots=True)
class FoundUpload:
    """An upload as it was when looked up."""

    repo: Repo
    row: Upload
    parts: tuple[UploadPart, ...]


def begin(
    hub: Hub,
    caller: Principal,
    namespace: str,
    name: str,
    body: schemas.NewUpload,
) -> tuple[schemas.Upload, bool]:
    """A new upload, and whether bytes have to be sent: not when the caller may use the blob already.

    Raises TooLarge, StorageFull, InvalidRequest, and what access raises.
    """
    check_announced(body, hub.settings.max_file_nbytes)
    with hub.db.snapshot() as session:
        writable_repo(session, caller, namespace, name)
        known = _usable_blob(session, caller, body) is not None
    if not known:
        _require_room(hub, body.stored_nbytes)
    staging = "" if known else hub.store.begin()

    def add(session: Session) -> FoundUpload:
        nonlocal known, staging
        repo = writable_repo(session, caller, namespace, name)
        # Looked at again in the transaction that takes the lease: from here on the collector keeps the blob.
        if known and _usable_blob(session, caller, body, keep=True) is None:
            known, staging = False, hub.store.begin()
        return FoundUpload(repo, queries.add_upload(session, _new_row(hub, caller, repo, body, staging, known)), ())

    return _describe(hub.db.run(add)), not known


def find(hub: Hub, caller: Principal, namespace: str, name: str, upload_id: str) -> FoundUpload:
    """The caller's upload; raises UploadNotFound and what access raises."""
    with hub.db.snapshot() as session:
        repo = writable_repo(session, caller, namespace, name)
        row = queries.find_upload(session, repo.id, require_user(caller), upload_id)
        if row is None:
            raise UploadNotFound(upload_id[:64])
        return FoundUpload(repo, row, tuple(queries.received_parts(session, upload_id)))


def describe(hub: Hub, caller: Principal, namespace: str, name: str, upload_id: str) -> schemas.Upload:
    """The caller's upload as the API shows it."""
    return _describe(find(hub, caller, namespace, name, upload_id))


def plan_receiving(found: FoundUpload, number: int) -> PartPlan:
    """Where a part goes; raises InvalidRequest when there is no such part or nothing more is received."""
    if found.row.state != "receiving":
        raise InvalidRequest(f"upload {found.row.id} is complete; it takes no more parts", upload=found.row.id)
    return plan_part(number, found.row.stored_nbytes, found.row.part_nbytes)


def note_part(hub: Hub, found: FoundUpload, plan: PartPlan, sha256: str) -> schemas.Part:
    """Count a part whose bytes are in the staging area; raises UploadNotFound when the upload is gone."""
    with hub.db.transaction() as session:
        expires_at = in_seconds(hub.settings.upload_ttl_s)
        if not queries.put_part(session, found.row.id, plan.number, plan.nbytes, sha256, expires_at):
            raise UploadNotFound(found.row.id)
    return schemas.Part(number=plan.number, nbytes=plan.nbytes, sha256=sha256)


def drop(hub: Hub, caller: Principal, namespace: str, name: str, upload_id: str) -> None:
    """Forget an upload and what was received for it."""
    found = find(hub, caller, namespace, name, upload_id)
    with hub.db.transaction() as session:
        queries.delete_upload(session, found.row.id)
    if found.row.staging:
        hub.store.abort(found.row.staging)


def complete(hub: Hub, caller: Principal, namespace: str, name: str, upload_id: str) -> schemas.Upload:
    """Verify, keep, and make the blob usable by the caller; completing again changes nothing.

    Raises PartsMissing, DigestMismatch, StorageFull, UploadNotFound, and what access raises.
    """
    with _one_at_a_time(upload_id):
        found = find(hub, caller, namespace, name, upload_id)
        if found.row.state == "receiving":
            _require_all_parts(found)
            _verify_staged(hub, found)
            _keep(hub, found)
        return describe(hub, caller, namespace, name, upload_id)


def _usable_blob(session: Session, caller: Principal, body: schemas.NewUpload, *, keep: bool = False) -> Blob | None:
    blob = blobs.find_blob(session, body.sha256, keep=keep)
    if blob is None or blob.nbytes != body.nbytes:
        return None
    usable = usable_blob_ids(
        session,
        [blob.id],
        user_id=require_user(caller),
        own=caller.name,
        sees_all=caller.is_admin,
    )
    return blob if usable else None


def _require_room(hub: Hub, nbytes: int) -> None:
    free = hub.store.free_nbytes()
    if free is not None and free - nbytes < hub.settings.min_free_nbytes:
        raise StorageFull(f"an upload of {nbytes} bytes does not fit, {free} bytes are free on the hub's storage")


def _new_row(
    hub: Hub,
    caller: Principal,
    repo: Repo,
    body: schemas.NewUpload,
    staging: str,
    known: bool,
) -> Upload:
    return Upload(
        id=secrets.token_hex(16),
        repo_id=repo.id,
        user_id=require_user(caller),
        sha256=body.sha256,
        nbytes=body.nbytes,
        encoding=body.encoding,
        stored_nbytes=body.stored_nbytes,
        stored_sha256=body.stored_sha256,
        staging=staging,
        state="complete" if known else "receiving",
        part_nbytes=part_nbytes_for(body.stored_nbytes, hub.settings.part_nbytes),
        created_at=now(),
        expires_at=in_seconds(hub.settings.upload_ttl_s),
    )


def _describe(found: FoundUpload) -> schemas.Upload:
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
            "received": list(range(count)) if row.state == "complete" else [part.number for part in found.parts],
        }
    )


def _require_all_parts(found: FoundUpload) -> None:
    received = {part.number for part in found.parts}
    missing = [n for n in range(part_count(found.row.stored_nbytes, found.row.part_nbytes)) if n not in received]
    if missing:
        raise PartsMissing(missing)


def _verify_staged(hub: Hub, found: FoundUpload) -> None:
    """Raises DigestMismatch; parts that the disk lost are forgotten and raise PartsMissing instead."""
    try:
        staged = hub.store.open_staged(found.row.staging)
    except ObjectNotFound:
        return  # verified and finished before a crash, or gone: `_keep` finds out which
    with staged, ThreadPoolExecutor(1) as side:
        as_sent = side.submit(check_bytes, staged, found.row.stored_nbytes, found.row.stored_sha256)
        try:
            if found.row.encoding == "freebits":
                check_container(staged, found.row.nbytes, found.row.sha256)
        finally:
            _require_as_sent(hub, found, staged, as_sent)


def _require_as_sent(hub: Hub, found: FoundUpload, staged: ObjectReader, as_sent: Future[None]) -> None:
    """What arrived must be what was announced; this comes before anything a container says of itself."""
    try:
        as_sent.result()
    except DigestMismatch:
        _forget_damaged_parts(hub, found, staged)
        raise


def _forget_damaged_parts(hub: Hub, found: FoundUpload, staged: ObjectReader) -> None:
    """After a power cut a part may be counted whose bytes never reached the disk: ask for it again."""
    damaged = []
    for part in found.parts:
        start = part.number * found.row.part_nbytes
        if start + part.nbytes > staged.nbytes or sha256_of(staged, start, start + part.nbytes) != part.sha256:
            damaged.append(part.number)
    if damaged:
        with hub.db.transaction() as session:
            queries.drop_parts(session, found.row.id, damaged)
        raise PartsMissing(damaged)


def _keep(hub: Hub, found: FoundUpload) -> None:
    row, origin = found.row, upload_origin(found.row.id)
    is_container = row.encoding == "freebits"
    key = container_key(row.stored_sha256, origin) if is_container else raw_key(row.sha256, origin)
    try:
        hub.store.finish(row.staging, key)
    except ObjectNotFound:
        _begin_again(hub, found)
    # Run again when the same content was completed by another upload at this moment.
    if hub.db.run(lambda session: _make_known(hub, session, row, key)):
        hub.store.delete(key)


def _begin_again(hub: Hub, found: FoundUpload) -> None:
    """What was staged is gone (removed by hand, or a lost disk): take the parts anew."""
    staging = hub.store.begin()
    with hub.db.transaction() as session:
        queries.drop_parts(session, found.row.id)
        queries.move_staging(session, found.row.id, staging)
    raise PartsMissing([part.number for part in found.parts])


def _make_known(hub: Hub, session: Session, row: Upload, key: str) -> bool:
    """One transaction: upload complete, blob there. True when the blob was there and the object is not needed."""
    if not queries.complete_upload(session, row.id, in_seconds(hub.settings.upload_ttl_s)):
        return _is_unneeded(session, row, key)
    queries.drop_parts(session, row.id)
    blob = blobs.find_blob(session, row.sha256, keep=True)
    stored = (row.stored_nbytes, row.stored_sha256)
    if blob is None and row.encoding == "identity":
        blobs.add_raw_blob(session, row.sha256, row.nbytes, key)
        return False
    if blob is None:
        blobs.add_encoded_blob(session, row.sha256, row.nbytes, key, stored)
        return False
    if row.encoding == "freebits" and blobs.swap_to_container(session, blob.id, key, stored):
        cancel_jobs_of_blob(session, blob.id, "a client sent the container")
        return False
    return True


def _is_unneeded(session: Session, row: Upload, key: str) -> bool:
    """Whether a blob uses the object of an upload that somebody else completed, or this process before its
    connection broke at the commit; raises UploadNotFound when it is gone instead."""
    upload = session.get(Upload, row.id)
    if upload is None or upload.state != "complete":
        raise UploadNotFound(row.id)
    return not blobs.is_key_in_use(session, key)


_busy: set[str] = set()
_busy_changed = threading.Condition()


@contextmanager
def _one_at_a_time(upload_id: str) -> Iterator[None]:
    """A second completion waits for the first instead of hashing the same bytes beside it.

    Only saves work; two processes completing at once are decided by the transaction in `_make_known`.
    """
    with _busy_changed:
        _busy_changed.wait_for(lambda: upload_id not in _busy)
        _busy.add(upload_id)
    try:
        yield
    finally:
        with _busy_changed:
            _busy.discard(upload_id)
            _busy_changed.notify_all()
