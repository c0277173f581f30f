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
    """Forget uploads that have expired; their staging handles."""
    statement = select(Upload.id, Upload.staging).where(Upload.expires_at <= now()).limit(limit)
    rows = session.execute(statement).all()
    session.execute(delete(Upload).where(Upload.id.in_([upload_id for upload_id, _ in rows])))
    return [staging for _, staging in rows]


def take_unreferenced_blobs(session: Session, before: datetime, limit: int) -> Sequence[tuple[str | None, str | None]]:
    """Forget blobs that no repo holds, nobody uploaded lately and nobody reads; the keys of their objects."""
    blobs = session.scalars(select(Blob).where(*_unreferenced(before)).limit(limit)).all()
    session.execute(delete(Blob).where(Blob.id.in_([blob.id for blob in blobs]), *_unreferenced(before)))
    return [(blob.raw_key, blob.container_key) for blob in blobs]


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
    statement = (
        select(Blob.id, Blob.raw_key)
        .where(Blob.state == "encoded", Blob.raw_key.is_not(None), Blob.encoded_at <= before, _not_read())
        .limit(limit)
    )
    rows = session.execute(statement).all()
    ids = [blob_id for blob_id, _ in rows]
    session.execute(update(Blob).where(Blob.id.in_(ids), Blob.state == "encoded").values(raw_key=None))
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


def staging_in_use(session: Session, handles: Collection[str]) -> set[str]:
    """Those of the staging handles that an upload owns."""
    return set(session.scalars(select(Upload.staging).where(Upload.staging.in_(handles))))
