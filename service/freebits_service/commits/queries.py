"""Statements over commits and over who holds which blob."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, literal, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from ..accounts.principal import Principal, readable_by, require_user
from ..clock import now
from ..db import batches, insert_missing
from ..models import Blob, Commit, Repo, RepoBlob, Upload


def add_commit(session: Session, commit: Commit) -> Commit:
    """Store a commit."""
    session.add(commit)
    session.flush()
    return commit


def list_history(session: Session, newest_row: int, limit: int) -> Sequence[tuple[Commit, str | None]]:
    """A commit and its ancestors, newest first, at most `limit`, each with its parent's id.

    The recursion counts, so that it ends after `limit` commits however long the history is.
    """
    chain = (
        select(Commit.id, Commit.parent_id, literal(1).label("position"))
        .where(Commit.id == newest_row)
        .cte("chain", recursive=True)
    )
    chain = chain.union_all(
        select(Commit.id, Commit.parent_id, chain.c.position + 1).where(
            Commit.id == chain.c.parent_id, chain.c.position < limit
        )
    )
    parent = aliased(Commit)
    statement = (
        select(Commit, parent.digest)
        .join(chain, chain.c.id == Commit.id)
        .outerjoin(parent, parent.id == Commit.parent_id)
        .order_by(chain.c.position)
    )
    return [(commit, parent_digest) for commit, parent_digest in session.execute(statement)]


def find_blobs(session: Session, digests: Sequence[str]) -> dict[str, Blob]:
    """Those of the blobs that are stored, by digest."""
    found: dict[str, Blob] = {}
    for some in batches(digests):
        found.update((blob.sha256, blob) for blob in session.scalars(select(Blob).where(Blob.sha256.in_(some))))
    return found


def usable_blob_ids(session: Session, blob_ids: Sequence[int], caller: Principal) -> set[int]:
    """Those of the blobs that a caller has proved to have: uploaded by it, or in a repo it may read.

    Knowing a digest is not having the content: without this test anybody could fetch a private file by its
    hash. Each proof is looked up by itself and ends at the first row (`_any`): as an EXISTS, Postgres may gather all
    that any repo holds first.
    """
    held = _any(RepoBlob.repo_id, RepoBlob.blob_id == Blob.id, Repo.id == RepoBlob.repo_id, readable_by(caller))
    uploaded = _any(
        Upload.id,
        Upload.user_id == require_user(caller),
        Upload.sha256 == Blob.sha256,
        Upload.state == "complete",
        Upload.expires_at > now(),
    )
    usable: set[int] = set()
    for some in batches(blob_ids):
        usable.update(session.scalars(select(Blob.id).where(Blob.id.in_(some), or_(held, uploaded))))
    return usable


def _any(column: InstrumentedAttribute[Any], *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    found = select(column).where(*conditions).limit(1).correlate(Blob)
    return found.scalar_subquery().is_not(None)


def hold_blobs(session: Session, repo_id: int, blob_ids: Sequence[int]) -> list[int]:
    """The repo holds these blobs from now on; those that it did not hold before."""
    rows = [{"repo_id": repo_id, "blob_id": blob_id} for blob_id in sorted(blob_ids)]
    return [blob_id for _, blob_id in insert_missing(session, RepoBlob, rows)]
