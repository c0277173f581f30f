"""Statements that take a deleted repo apart, batch by batch. Each removes the first so many rows that are there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import delete, exists, or_, select, update
from sqlalchemy.orm import Session

from ..clock import now
from ..models import Blob, Commit, Job, Ref, Repo, RepoBlob, Tree, TreePage, TreeSpan, Upload, UpstreamFile, Variant

Step = Callable[[Session, int, int], int]  # of a repo, at most so many rows: how many there were


def begin_purging(session: Session, before: datetime, limit: int) -> Sequence[int]:
    """Repos deleted by `before`: from now on they cannot come back."""
    due = or_(Repo.purging.is_(True), Repo.deleted_at <= before)
    ids = session.scalars(
        select(Repo.id).where(Repo.deleted_at.is_not(None), due).order_by(Repo.deleted_at, Repo.id).limit(limit)
    ).all()
    still_due = update(Repo).where(Repo.id.in_(ids), or_(Repo.purging.is_(True), Repo.deleted_at <= before))
    return session.scalars(still_due.values(purging=True).returning(Repo.id)).all()


def drop_refs(session: Session, repo_id: int, limit: int) -> int:
    """Some refs."""
    ids = session.scalars(select(Ref.id).where(Ref.repo_id == repo_id).limit(limit)).all()
    session.execute(delete(Ref).where(Ref.id.in_(ids)))
    return len(ids)


def drop_variants(session: Session, repo_id: int, limit: int) -> int:
    """Some jobs that were to make variants, with what they are: nobody can look at what they made any more."""
    ids = session.scalars(select(Variant.job_id).where(Variant.repo_id == repo_id).limit(limit)).all()
    session.execute(delete(Job).where(Job.id.in_(ids)))
    return len(ids)


def drop_commits(session: Session, repo_id: int, limit: int) -> int:
    """The newest commits: a child is always newer than its parent."""
    newest = select(Commit.id).where(Commit.repo_id == repo_id).order_by(Commit.repo_id.desc(), Commit.id.desc())
    ids = session.scalars(newest.limit(limit)).all()
    session.execute(delete(Commit).where(Commit.id.in_(ids)))
    return len(ids)


def drop_spans(session: Session, repo_id: int, limit: int) -> int:
    """Some spans of the first tree, or the tree when it has none left."""
    tree_id = session.scalar(select(Tree.id).where(Tree.repo_id == repo_id).order_by(Tree.digest).limit(1))
    if tree_id is None:
        return 0
    first = select(TreeSpan.first_path).where(TreeSpan.tree_id == tree_id).order_by(TreeSpan.first_path).limit(limit)
    paths = session.scalars(first).all()
    if len(paths) < limit:
        session.execute(delete(Tree).where(Tree.id == tree_id))
    else:
        session.execute(delete(TreeSpan).where(TreeSpan.tree_id == tree_id, TreeSpan.first_path <= paths[-1]))
    return len(paths) + 1


def drop_pages(session: Session, repo_id: int, limit: int) -> int:
    """Some pages with their entries, of which each has a few hundred at most."""
    pages = select(TreePage.id).where(TreePage.repo_id == repo_id).order_by(TreePage.digest)
    ids = session.scalars(pages.limit(max(1, limit // 10))).all()
    session.execute(delete(TreePage).where(TreePage.id.in_(ids)))
    return len(ids)


def drop_holds(session: Session, repo_id: int, limit: int) -> int:
    """Some blobs are not held by this repo any more; the collector shall look at them."""
    held = select(RepoBlob.blob_id).where(RepoBlob.repo_id == repo_id).order_by(RepoBlob.blob_id).limit(limit)
    ids = session.scalars(held).all()
    session.execute(delete(RepoBlob).where(RepoBlob.repo_id == repo_id, RepoBlob.blob_id.in_(ids)))
    session.execute(update(Blob).where(Blob.id.in_(ids)).values(look_at=now()))
    return len(ids)


def drop_awaited(session: Session, repo_id: int, limit: int) -> int:
    """Some files of a mirrored repo are not awaited any more; the collector shall look at what there is of them."""
    awaited = select(UpstreamFile.blob_id).where(UpstreamFile.repo_id == repo_id).order_by(UpstreamFile.blob_id)
    ids = session.scalars(awaited.limit(limit)).all()
    session.execute(delete(UpstreamFile).where(UpstreamFile.repo_id == repo_id, UpstreamFile.blob_id.in_(ids)))
    session.execute(update(Blob).where(Blob.id.in_(ids)).values(look_at=now()))
    return len(ids)


def expire_uploads(session: Session, repo_id: int, limit: int) -> int:
    """Some uploads into the repo have expired from now on."""
    living = select(Upload.id).where(Upload.repo_id == repo_id, Upload.expires_at > now()).limit(limit)
    ids = session.scalars(living).all()
    session.execute(update(Upload).where(Upload.id.in_(ids)).values(expires_at=now()))
    return len(ids)


def drop_repo(session: Session, repo_id: int, _limit: int) -> int:
    """The repo itself, if nothing of it is left; 1 when a writer that was still at work added something."""
    session.execute(select(Repo.id).where(Repo.id == repo_id).with_for_update())
    for table in (Variant, Commit, Tree, TreePage, RepoBlob, UpstreamFile, Upload):
        if session.scalar(select(exists().where(table.repo_id == repo_id))):
            return 1
    session.execute(delete(Repo).where(Repo.id == repo_id))
    return 0


# Uploads are expired, not deleted: their staged bytes are let go of like those of all others.
STEPS: tuple[Step, ...] = (
    drop_refs,
    drop_variants,
    drop_commits,
    drop_spans,
    drop_pages,
    drop_holds,
    drop_awaited,
    expire_uploads,
)
