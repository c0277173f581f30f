"""Statements over what repos hold and what is noted of it in ``namespace``.

Locks are taken in one order everywhere: repo, blobs, then namespaces by name. What is read to be added up is
locked (shared) first, so that a blob that shrinks at the same moment is counted at one size, never at two.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import Session

from ..clock import now
from ..db import batches
from ..models import Blob, Namespace, Repo, RepoBlob, Upload

_STORED = func.coalesce(Blob.container_nbytes, Blob.nbytes)
Sizes = tuple[int, int]  # logical, stored; bytes


def lock_namespace(session: Session, name: str) -> Namespace | None:
    """The namespace, kept from others who would change it until the transaction ends."""
    return session.scalar(select(Namespace).where(Namespace.name == name).with_for_update())


def lock_repo(session: Session, repo_id: int) -> None:
    """Wait for commits to the repo and keep new ones out until the transaction ends."""
    session.execute(select(Repo.id).where(Repo.id == repo_id).with_for_update())


def sizes_of(session: Session, blob_ids: Sequence[int]) -> Sizes:
    """What these blobs add up to."""
    total = (0, 0)
    for some in batches(sorted(blob_ids)):
        statement = select(Blob.nbytes, _STORED).where(Blob.id.in_(some)).order_by(Blob.id)
        total = _add(total, session.execute(statement.with_for_update(read=True)))
    return total


def held_by_repo(session: Session, repo_id: int) -> Sizes:
    """What a repo holds."""
    statement = select(RepoBlob.blob_id).where(RepoBlob.repo_id == repo_id)
    return sizes_of(session, session.scalars(statement).all())


def _add(total: Sizes, rows: Iterable[Sequence[int]]) -> Sizes:
    logical, stored = total
    for row in rows:
        logical, stored = logical + row[0], stored + row[1]
    return logical, stored


def add_usage(session: Session, name: str, sizes: Sizes) -> Sizes | None:
    """Note that a namespace holds so much more (or less); what it holds then, None when it has no row."""
    statement = (
        update(Namespace)
        .where(Namespace.name == name)
        .values(
            logical_nbytes=Namespace.logical_nbytes + sizes[0],
            stored_nbytes=Namespace.stored_nbytes + sizes[1],
        )
        .returning(Namespace.logical_nbytes, Namespace.stored_nbytes)
        .execution_options(synchronize_session=False)
    )
    found = session.execute(statement).one_or_none()
    return None if found is None else (found[0], found[1])


def set_usage(session: Session, name: str, sizes: Sizes) -> None:
    """Note what a namespace really holds."""
    statement = update(Namespace).where(Namespace.name == name)
    session.execute(statement.values(logical_nbytes=sizes[0], stored_nbytes=sizes[1]))


def shrink_holders(session: Session, blob_id: int, saved_nbytes: int) -> None:
    """A blob that is stored in so many bytes less counts less for every repo that holds it."""
    statement = (
        select(Repo.namespace, func.count())
        .join(RepoBlob, RepoBlob.repo_id == Repo.id)
        .where(RepoBlob.blob_id == blob_id, Repo.deleted_at.is_(None))
        .group_by(Repo.namespace)
        .order_by(Repo.namespace)
    )
    changes = [{"holder": name, "less": repos * saved_nbytes} for name, repos in session.execute(statement)]
    if changes:
        table = Namespace.__table__
        shrink = update(Namespace).where(table.c.name == bindparam("holder"))
        shrink = shrink.values(stored_nbytes=table.c.stored_nbytes - bindparam("less"))
        session.connection().execute(shrink, changes)


def count_held(session: Session, name: str) -> Sizes:
    """What the repos of a namespace really hold."""
    statement = (
        select(func.coalesce(func.sum(Blob.nbytes), 0), func.coalesce(func.sum(_STORED), 0))
        .select_from(Repo)
        .join(RepoBlob, RepoBlob.repo_id == Repo.id)
        .join(Blob, Blob.id == RepoBlob.blob_id)
        .where(Repo.namespace == name, Repo.deleted_at.is_(None))
    )
    logical, stored = session.execute(statement).one()
    return int(logical), int(stored)


def pending_uploads(session: Session, namespace: str, but_not: tuple[int, str]) -> Sizes:
    """What the uploads of a namespace would add if all were committed, but not those of one repo and digest."""
    held = (
        select(RepoBlob.repo_id)
        .join(Blob, Blob.id == RepoBlob.blob_id)
        .where(RepoBlob.repo_id == Upload.repo_id, Blob.sha256 == Upload.sha256)
        .exists()
    )
    each = (
        select(func.max(Upload.nbytes).label("logical"), func.max(Upload.stored_nbytes).label("stored"))
        .join(Repo, Repo.id == Upload.repo_id)
        .where(Repo.namespace == namespace, Repo.deleted_at.is_(None), Upload.expires_at > now(), ~held)
        .where(~((Upload.repo_id == but_not[0]) & (Upload.sha256 == but_not[1])))
        .group_by(Upload.repo_id, Upload.sha256)
        .subquery()
    )
    logical, stored = session.execute(select(func.sum(each.c.logical), func.sum(each.c.stored))).one()
    return int(logical or 0), int(stored or 0)


def holds(session: Session, repo_id: int, sha256: str) -> bool:
    """Whether the repo holds this content."""
    statement = select(RepoBlob.blob_id).join(Blob, Blob.id == RepoBlob.blob_id)
    return session.scalar(statement.where(RepoBlob.repo_id == repo_id, Blob.sha256 == sha256)) is not None


def namespace_names(session: Session, after: str, limit: int) -> Sequence[str]:
    """Names of namespaces in order, those behind `after`."""
    statement = select(Namespace.name).where(Namespace.name > after).order_by(Namespace.name).limit(limit)
    return session.scalars(statement).all()
