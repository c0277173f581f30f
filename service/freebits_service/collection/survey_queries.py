"""Statements of the survey: what would be unneeded once the deleted repos were purged."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, func, not_, or_, select, union
from sqlalchemy.orm import Session

from ..clock import now
from ..models import Blob, Repo, RepoBlob, Upload, UploadPart, Xorb


def count_expired_uploads(session: Session) -> tuple[int, int]:
    """Expired uploads, and the bytes received for them."""
    expired = Upload.expires_at <= now()
    count = session.scalar(select(func.count()).select_from(Upload).where(expired)) or 0
    received = select(func.sum(UploadPart.nbytes)).join(Upload, Upload.id == UploadPart.upload_id).where(expired)
    return count, int(session.scalar(received) or 0)


def count_expired_xorbs(session: Session) -> tuple[int, int]:
    """Xorbs that no client refers to any more, and their bytes."""
    expired = select(func.count(), func.coalesce(func.sum(Xorb.nbytes), 0)).where(Xorb.expires_at <= now())
    count, nbytes = session.execute(expired).one()
    return int(count), int(nbytes)


def count_purgeable_repos(session: Session, purged: datetime) -> int:
    """Deleted repos whose time to come back is over."""
    return session.scalar(select(func.count()).select_from(Repo).where(_purgeable(purged))) or 0


def candidates_after(session: Session, before: datetime, purged: datetime, last: int, limit: int) -> list[Blob]:
    """Blobs that are due, or held by repos that would be purged, by row id."""
    due = select(Blob.id).where(Blob.look_at <= before, Blob.id > last).order_by(Blob.id).limit(limit)
    held = (
        select(RepoBlob.blob_id)
        .join(Repo, Repo.id == RepoBlob.repo_id)
        .where(_purgeable(purged), RepoBlob.blob_id > last)
        .distinct()
        .order_by(RepoBlob.blob_id)
        .limit(limit)
    )
    both = union(select(due.subquery().c.id), select(held.subquery().c.blob_id)).subquery()
    statement = select(Blob).where(Blob.id.in_(select(both.c[0]))).order_by(Blob.id).limit(limit)
    return list(session.scalars(statement))


def held_by_kept_repos(session: Session, blob_ids: Collection[int], purged: datetime) -> set[int]:
    """Those of the blobs that a repo holds which would not be purged."""
    kept = exists().where(RepoBlob.blob_id == Blob.id, Repo.id == RepoBlob.repo_id, not_(_purgeable(purged)))
    return set(session.scalars(select(Blob.id).where(Blob.id.in_(blob_ids), kept)))


def _purgeable(purged: datetime) -> ColumnElement[bool]:
    return and_(Repo.deleted_at.is_not(None), or_(Repo.purging.is_(True), Repo.deleted_at <= purged))
