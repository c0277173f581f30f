"""Statements of the collector. Each deletion names its condition again, so that nothing needed can slip in between."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.orm import Session

from ..clock import now
from ..jobs.queries import ACTIVE
from ..models import Blob, Job, RepoBlob, TreeEntry, Upload


def take_expired_uploads(session: Session, limit: int) -> Sequence[str]:
    """Forget uploads that have expired; the keys of what they staged."""
    expired = Upload.expires_at <= now()
    ids = session.scalars(select(Upload.id).where(expired).limit(limit).with_for_update(skip_locked=True)).all()
    return session.scalars(delete(Upload).where(Upload.id.in_(ids), expired).returning(Upload.staging)).all()


def take_unreferenced_blobs(session: Session, before: datetime, limit: int) -> Sequence[tuple[str | None, str | None]]:
    """Forget blobs that no repo holds, nobody uploaded lately and nobody reads; the keys of their objects."""
    candidates = select(Blob.id).where(*_unreferenced(before)).limit(limit)
    # Locked first and looked at again afterwards: what a commit or an upload took hold of meanwhile stays, and
    # who wants to take hold from now on waits, and then finds the blob gone.
    ids = session.scalars(candidates.with_for_update(of=Blob, skip_locked=True)).all()
    unneeded = delete(Blob).where(Blob.id.in_(ids), *_unreferenced(before))
    return [
        (raw, container) for raw, container in session.execute(unneeded.returning(Blob.raw_key, Blob.container_key))
    ]


def _unreferenced(before: datetime) -> list[ColumnElement[bool]]:
    return [
        Blob.created_at <= before,
        _not_read(),
        ~select(RepoBlob.repo_id).where(RepoBlob.blob_id == Blob.id).exists(),
        ~select(TreeEntry.page_id).where(TreeEntry.blob_id == Blob.id).exists(),
        ~select(Upload.id)
        .where(Upload.sha256 == Blob.sha256, Upload.state == "complete", Upload.expires_at > now())
        .exists(),
    ]


def take_raw_copies(session: Session, before: datetime, limit: int) -> Sequence[str | None]:
    """Forget the raw objects of blobs that have been served from their container since `before`; their keys."""
    replaced = (Blob.state == "encoded", Blob.raw_key.is_not(None), Blob.encoded_at <= before, _not_read())
    statement = select(Blob.id, Blob.raw_key).where(*replaced).limit(limit)
    rows = session.execute(statement.with_for_update(skip_locked=True)).all()
    ids = [blob_id for blob_id, _ in rows]
    session.execute(update(Blob).where(Blob.id.in_(ids)).values(raw_key=None))
    return [key for _, key in rows]


def _not_read() -> ColumnElement[bool]:
    return or_(Blob.leased_until.is_(None), Blob.leased_until <= now())


def keys_in_use(session: Session, keys: Collection[str]) -> set[str]:
    """Those of the keys that a blob names."""
    used = {key for key in session.scalars(select(Blob.raw_key).where(Blob.raw_key.in_(keys))) if key}
    statement = select(Blob.container_key).where(Blob.container_key.in_(keys))
    return used | {key for key in session.scalars(statement) if key}


def living_uploads(session: Session, upload_ids: Collection[str]) -> set[str]:
    """Those of the uploads that have not been forgotten."""
    return set(session.scalars(select(Upload.id).where(Upload.id.in_(upload_ids))))


def active_jobs(session: Session, job_ids: Collection[int]) -> set[int]:
    """Those of the jobs that may still write an object."""
    return set(session.scalars(select(Job.id).where(Job.id.in_(job_ids), Job.state.in_(ACTIVE))))


def staging_in_use(session: Session, keys: Collection[str]) -> set[str]:
    """Those of the keys in progress that an upload owns."""
    return set(session.scalars(select(Upload.staging).where(Upload.staging.in_(keys))))
