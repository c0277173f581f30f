"""Statements of the collector. Each batch begins where an index says, never again at the beginning."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import delete, func, or_, select, tuple_, update
from sqlalchemy.orm import Session

from ..clock import now
from ..jobs.queries import ACTIVE
from ..models import Blob, Job, Lease, RepoBlob, TreeEntry, Upload, UploadPart, Xorb


def take_lease(session: Session, name: str, owner: str, expires_at: datetime) -> Lease | None:
    """Become the owner, if nobody is or the owner's time is over; None when somebody else is."""
    statement = (
        update(Lease)
        .where(Lease.name == name, or_(Lease.expires_at <= now(), Lease.owner == owner))
        .values(owner=owner, expires_at=expires_at)
        .returning(Lease)
    )
    taken = session.scalar(statement)
    if taken is None and session.get(Lease, name) is None:
        taken = Lease(name=name, owner=owner, expires_at=expires_at, place=0, place_at=now())
        session.add(taken)
        session.flush()
    return taken


def extend_lease(session: Session, name: str, owner: str, expires_at: datetime, place: int, place_at: datetime) -> bool:
    """Stay the owner and note how far the work is; False when somebody else took over."""
    statement = (
        update(Lease)
        .where(Lease.name == name, Lease.owner == owner)
        .values(expires_at=expires_at, place=place, place_at=place_at)
        .returning(Lease.name)
    )
    return session.scalar(statement) is not None


def find_lease(session: Session, name: str) -> Lease | None:
    """Who is the owner, and until when."""
    return session.get(Lease, name)


def take_expired_uploads(session: Session, limit: int) -> tuple[Sequence[str], int]:
    """Forget uploads that have expired, oldest first; the keys of what they staged, and the bytes received."""
    ids = session.scalars(
        select(Upload.id).where(Upload.expires_at <= now()).order_by(Upload.expires_at).limit(limit)
    ).all()
    expired = delete(Upload).where(Upload.id.in_(ids), Upload.expires_at <= now()).returning(Upload.staging)
    received = select(func.sum(UploadPart.nbytes)).where(UploadPart.upload_id.in_(ids))
    nbytes = session.scalar(received) or 0
    return session.scalars(expired).all(), int(nbytes)


def lock_due_blobs(
    session: Session, before: datetime, after: tuple[datetime, int] | None, limit: int
) -> Sequence[Blob]:
    """Blobs to look at since `before`, in that order behind `after`, locked until the transaction ends.

    Locked, no repo can begin to hold them and no upload to count on them. Those that somebody has locked are left out:
    they are being committed.
    """
    statement = select(Blob).where(Blob.look_at <= before).order_by(Blob.look_at, Blob.id).limit(limit)
    if after is not None:
        statement = statement.where(tuple_(Blob.look_at, Blob.id) > tuple_(*after))
    return session.scalars(statement.with_for_update(skip_locked=True)).all()


def held_blob_ids(session: Session, blob_ids: Collection[int]) -> set[int]:
    """Those of the blobs that some repo holds, deleted softly or not.

    LIMIT keeps the database from reading all of a table into a hash: it looks up each blob in an index.
    """
    holder = select(RepoBlob.repo_id).where(RepoBlob.blob_id == Blob.id).limit(1).scalar_subquery()
    page = select(TreeEntry.page_id).where(TreeEntry.blob_id == Blob.id).limit(1).scalar_subquery()
    is_held = or_(holder.is_not(None), page.is_not(None))
    return set(session.scalars(select(Blob.id).where(Blob.id.in_(blob_ids), is_held)))


def uploads_until(session: Session, digests: Collection[str]) -> Mapping[str, datetime]:
    """Until when complete uploads give somebody the right to commit these contents."""
    statement = (
        select(Upload.sha256, func.max(Upload.expires_at))
        .where(Upload.sha256.in_(digests), Upload.state == "complete", Upload.expires_at > now())
        .group_by(Upload.sha256)
    )
    rows = session.execute(statement).all()
    return {digest: until for digest, until in rows}  # noqa: C416 - mypy does not take rows for pairs


def look_again(session: Session, blob_ids: Collection[int], at: datetime | None) -> None:
    """When to look at these blobs next; None for not before something changes."""
    session.execute(update(Blob).where(Blob.id.in_(blob_ids)).values(look_at=at))


def forget_raw_copies(session: Session, blob_ids: Collection[int]) -> None:
    """The raw objects of these encoded blobs are not needed any more."""
    session.execute(
        update(Blob).where(Blob.id.in_(blob_ids), Blob.state == "encoded").values(raw_key=None, look_at=None)
    )


def forget_blobs(session: Session, blob_ids: Collection[int]) -> None:
    """Delete blobs with their jobs and tensors; the caller has locked them and knows that nobody needs them."""
    session.execute(delete(Blob).where(Blob.id.in_(blob_ids)))


def keys_in_use(session: Session, keys: Collection[str]) -> set[str]:
    """Those of the keys that a blob or xorb names."""
    used = {key for key in session.scalars(select(Blob.raw_key).where(Blob.raw_key.in_(keys))) if key}
    statement = select(Blob.container_key).where(Blob.container_key.in_(keys))
    used |= {key for key in session.scalars(statement) if key}
    return used | set(session.scalars(select(Xorb.key).where(Xorb.key.in_(keys))))


def take_expired_xorbs(session: Session, limit: int) -> list[tuple[str, int]]:
    """Forget xorbs that no client refers to any more; their keys and sizes."""
    expired = select(Xorb.id).where(Xorb.expires_at <= now()).order_by(Xorb.expires_at).limit(limit)
    rows = session.execute(delete(Xorb).where(Xorb.id.in_(expired)).returning(Xorb.key, Xorb.nbytes))
    return [(key, nbytes) for key, nbytes in rows]


def living_uploads(session: Session, upload_ids: Collection[str]) -> set[str]:
    """Those of the uploads that may still write an object; a complete one has its object named by a blob, or none."""
    return set(session.scalars(select(Upload.id).where(Upload.id.in_(upload_ids), Upload.state == "receiving")))


def active_jobs(session: Session, job_ids: Collection[int]) -> set[int]:
    """Those of the jobs that may still write an object."""
    return set(session.scalars(select(Job.id).where(Job.id.in_(job_ids), Job.state.in_(ACTIVE))))


def staging_in_use(session: Session, keys: Collection[str]) -> set[str]:
    """Those of the keys in progress that an upload owns."""
    return set(session.scalars(select(Upload.staging).where(Upload.staging.in_(keys))))
