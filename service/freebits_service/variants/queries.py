"""Statements over variants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ..db import insert_missing
from ..jobs.queries import FoundJob, found_jobs
from ..models import Blob, Commit, Job, Ref, TreeEntry, TreeSpan, Variant


def add_job(session: Session, job: dict[str, Any], variant: dict[str, Any]) -> bool:
    """A job and what it is to make; False when there is one of this key, which another request may just have made."""
    inserted = insert_missing(session, Job, [job])
    if inserted:
        session.add(Variant(job_id=inserted[0][0], **variant))
        session.flush()
    return bool(inserted)


def find_job(session: Session, key: str) -> FoundJob | None:
    """The job of this key; it does not end before this transaction does."""
    session.execute(select(Job.id).where(Job.key == key).with_for_update())
    found = session.execute(found_jobs().where(Job.key == key)).one_or_none()
    return None if found is None else FoundJob(*found)


def is_made(session: Session, commit_id: int) -> bool:
    """Whether a job made this commit."""
    return session.scalar(select(Variant.job_id).where(Variant.commit_id == commit_id).limit(1)) is not None


def is_head(session: Session, variant: Variant) -> bool:
    """Whether the branch of a variant is where its job left it."""
    head = select(Ref.commit_id).where(Ref.repo_id == variant.repo_id, Ref.name == variant.branch)
    return variant.commit_id is not None and session.scalar(head) == variant.commit_id


def list_variants(session: Session, repo_id: int, after: int | None, limit: int) -> Sequence[tuple[FoundJob, bool]]:
    """The variants of a repo, newest first, with job ids below `after`, each with whether it is its branch's head."""
    head = (Ref.repo_id == Variant.repo_id) & (Ref.name == Variant.branch) & (Ref.commit_id == Variant.commit_id)
    statement = found_jobs().add_columns(Ref.id).outerjoin(Ref, head).where(Variant.repo_id == repo_id)
    if after is not None:
        statement = statement.where(Variant.job_id < after)
    rows = session.execute(statement.order_by(Variant.job_id.desc()).limit(limit))
    return [(FoundJob(*row[:-1]), row[-1] is not None) for row in rows]


def total_nbytes(session: Session, commit: Commit) -> int:
    """Bytes of all files of a revision."""
    statement = (
        select(func.coalesce(func.sum(Blob.nbytes), 0))
        .select_from(TreeSpan)
        .join(TreeEntry, TreeEntry.page_id == TreeSpan.page_id)
        .join(Blob, Blob.id == TreeEntry.blob_id)
        .where(TreeSpan.tree_id == commit.tree_id)
    )
    return int(session.scalar(statement) or 0)


def files_of(session: Session, commit: Commit) -> list[tuple[str, Blob]]:
    """All files of a revision in order of their paths."""
    statement = (
        select(TreeEntry.path, Blob)
        .select_from(TreeSpan)
        .join(TreeEntry, TreeEntry.page_id == TreeSpan.page_id)
        .join(Blob, Blob.id == TreeEntry.blob_id)
        .where(TreeSpan.tree_id == commit.tree_id)
        .order_by(TreeEntry.path)
    )
    return [(path, blob) for path, blob in session.execute(statement)]
