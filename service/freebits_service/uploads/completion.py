"""Complete an upload: finish the object, verify it, make it known.

    finish    the parts become an object under a key that only this upload has     crash: done again
    verify    SHA-256 of the stored bytes, unless it was taken as they came (``in_order.py``); of a container also what
              it decodes to                                                        crash: done again
    known     one transaction: the upload is complete, the blob is there           the content can be committed

Until the last step nothing names the object. When the upload expires before it, the collector finds the object.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from sqlalchemy.orm import Session

from .. import schemas
from ..accounts.principal import Principal
from ..blobs import queries as blobs
from ..blobs.keys import origin_of
from ..blobs.store import ObjectNotFound
from ..blobs.verify import check_bytes, check_container, sha256_of
from ..clock import in_seconds
from ..context import Hub
from ..errors import DigestMismatch, PartsMissing, UploadNotFound
from ..jobs.queries import cancel_jobs_of_blob
from ..models import Blob, Upload
from ..tensors.digests import ContainerIndexer, TensorDigest
from ..tensors.queries import add_tensors, forget_tensors, set_tensor_count
from . import queries, staging
from .in_order import IN_ORDER
from .operations import describe, find, record_upload
from .staging import FoundUpload

MAX_TENSORS = 1 << 15  # of a container that is indexed while a request waits; others by ``fsck --rebuild-tensors``
Tensors = list[TensorDigest] | None


def complete(hub: Hub, caller: Principal, namespace: str, name: str, upload_id: str) -> schemas.Upload:
    """Verify, keep, and make the blob usable by the caller; completing again changes nothing.

    Raises PartsMissing, DigestMismatch, StorageFull, UploadNotFound, and what access raises.
    """
    with _one_at_a_time(upload_id):
        found = find(hub, caller, namespace, name, upload_id)
        if found.row.state == "receiving":
            _finish(hub, found)
            tensors = _verify(hub, found)
            _keep(hub, caller, found, tensors)
        return describe(hub, caller, namespace, name, upload_id)


def _finish(hub: Hub, found: FoundUpload) -> None:
    missing = set(range(found.part_count)) - set(staging.received(hub, found))
    if missing:
        raise PartsMissing(sorted(missing))
    try:
        if origin_of(found.row.staging) is None:  # begun by a release that staged without a key
            raise ObjectNotFound(found.row.staging)
        hub.store.finish(found.row.staging)
    except ObjectNotFound:
        staging.begin_again(hub, found)
        raise PartsMissing(range(found.part_count)) from None


def _verify(hub: Hub, found: FoundUpload) -> Tensors:
    """The tensors seen on the way, None when nobody looked.

    Raises DigestMismatch; parts that the disk lost are forgotten and raise PartsMissing instead.
    """
    row = found.row
    tensors: list[TensorDigest] = []
    indexer = ContainerIndexer(tensors.extend, MAX_TENSORS)
    with ThreadPoolExecutor(1) as side:
        as_sent = side.submit(_check_as_sent, hub, found)
        try:
            if row.encoding == "freebits":
                with hub.store.open(row.staging) as reader:
                    check_container(reader, row.nbytes, row.sha256, indexer)
        finally:
            as_sent.result()  # comes before anything a container says of itself
    return None if indexer.finish() is None else tensors


def _check_as_sent(hub: Hub, found: FoundUpload) -> None:
    """What arrived must be what was announced; otherwise the upload takes parts again."""
    if IN_ORDER.take_digest(found.row.id, found.part_count) == found.row.stored_sha256:
        return
    try:
        with hub.store.open(found.row.staging) as reader:
            check_bytes(reader, found.row.stored_nbytes, found.row.stored_sha256)
    except DigestMismatch:
        damaged = _damaged_parts(hub, found)
        staging.take_again(hub, found, damaged)
        if damaged:
            raise PartsMissing(damaged) from None
        raise


def _damaged_parts(hub: Hub, found: FoundUpload) -> list[int]:
    """After a power cut a part may be counted whose bytes never reached the disk; of some it cannot be told."""
    damaged = []
    with hub.db.snapshot() as session:
        parts = queries.received_parts(session, found.row.id)
    with hub.store.open(found.row.staging) as reader:
        for part in parts:
            if not part.sha256:
                continue
            start = part.number * found.row.part_nbytes
            if start + part.nbytes > reader.nbytes or sha256_of(reader, start, start + part.nbytes) != part.sha256:
                damaged.append(part.number)
    return damaged


def _keep(hub: Hub, caller: Principal, found: FoundUpload, tensors: Tensors) -> None:
    # Run again when the same content was completed by another upload at this moment.
    if hub.db.run(lambda session: _make_known(hub, session, caller, found, tensors)):
        hub.store.delete(found.row.staging)


def _make_known(hub: Hub, session: Session, caller: Principal, found: FoundUpload, tensors: Tensors) -> bool:
    """One transaction: upload complete, blob there. True when the blob was there and the object is not needed."""
    row = found.row
    if not queries.complete_upload(session, row.id, in_seconds(hub.settings.upload_ttl_s)):
        return _is_unneeded(session, row)
    queries.drop_parts(session, row.id)
    record_upload(session, caller, "upload.complete", found.repo, row)
    if row.encoding == "identity":
        return not blobs.adopt_raw(session, row.sha256, row.nbytes, row.staging)
    blob = blobs.find_blob(session, row.sha256, keep=True)
    stored = (row.stored_nbytes, row.stored_sha256)
    if blob is None:
        _index(session, blobs.add_encoded_blob(session, row.sha256, row.nbytes, row.staging, stored), tensors)
        return False
    if not blob.is_good:
        blobs.heal_with_container(session, blob.id, row.staging, stored)
        return False
    if blobs.swap_to_container(session, blob.id, row.staging, stored):
        cancel_jobs_of_blob(session, blob.id, "a client sent the container")
        _index(session, blob, tensors)
        return False
    return True


def _is_unneeded(session: Session, row: Upload) -> bool:
    """Whether a blob uses the object of an upload that somebody else completed, or this process before its
    connection broke at the commit; raises UploadNotFound when it is gone instead."""
    upload = session.get(Upload, row.id)
    if upload is None or upload.state != "complete":
        raise UploadNotFound(row.id)
    return not blobs.is_key_in_use(session, row.staging)


def _index(session: Session, blob: Blob, tensors: Tensors) -> None:
    if tensors is not None:
        forget_tensors(session, blob.id)
        add_tensors(session, blob.id, tensors)
        set_tensor_count(session, blob.id, len(tensors))


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
