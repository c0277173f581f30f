"""Statements over mirrored repos and what they await."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from ..clock import now
from ..db import batches, insert_missing
from ..models import Blob, Ref, Repo, RepoBlob, UpstreamFile


def note_compared(session: Session, repo_id: int, *, is_open: bool) -> None:
    """The repo was compared with the upstream's at this moment, which everybody may read there or not."""
    session.execute(update(Repo).where(Repo.id == repo_id).values(mirrored_at=now(), upstream_open=is_open))


def add_remote_blobs(session: Session, sizes: Sequence[tuple[str, int]]) -> None:
    """Name contents by (digest, bytes) of which nothing is here, those that are not named yet.

    The collector need not look at them before something changes: a tree is about to have them.
    """
    rows = [
        {"sha256": sha256, "nbytes": nbytes, "state": "remote", "created_at": now(), "look_at": None}
        for sha256, nbytes in sorted(sizes)
    ]
    insert_missing(session, Blob, rows)


def blobs_of(session: Session, digests: Sequence[str]) -> dict[str, Blob]:
    """The blobs of these digests, kept from the collector until the transaction ends."""
    found: dict[str, Blob] = {}
    for some in batches(sorted(digests)):
        statement = select(Blob).where(Blob.sha256.in_(some)).order_by(Blob.id)
        kept = statement.with_for_update(read=True, key_share=True)
        found.update((blob.sha256, blob) for blob in session.scalars(kept))
    return found


def held_by(session: Session, repo_id: int, blob_ids: Sequence[int]) -> set[int]:
    """Those of the blobs that the repo holds."""
    held: set[int] = set()
    for some in batches(blob_ids):
        statement = select(RepoBlob.blob_id).where(RepoBlob.repo_id == repo_id, RepoBlob.blob_id.in_(some))
        held.update(session.scalars(statement))
    return held


def held_by_git_oid(session: Session, repo_id: int, oids: Sequence[str]) -> dict[str, str]:
    """Digests of those contents that the repo holds, by what git calls them."""
    held: dict[str, str] = {}
    for some in batches(sorted(set(oids))):
        statement = select(Blob.git_oid, Blob.sha256).join(RepoBlob, RepoBlob.blob_id == Blob.id)
        rows = session.execute(statement.where(RepoBlob.repo_id == repo_id, Blob.git_oid.in_(some)))
        held.update((oid, sha256) for oid, sha256 in rows if oid is not None)
    return held


def public_among(session: Session, blob_ids: Sequence[int]) -> set[int]:
    """Those of the blobs whose content everybody may read already, here."""
    holder = select(RepoBlob.repo_id).join(Repo, Repo.id == RepoBlob.repo_id)
    held = holder.where(RepoBlob.blob_id == Blob.id, Repo.visibility == "public", Repo.deleted_at.is_(None))
    is_good = (Blob.state != "remote", Blob.damaged_at.is_(None))
    public: set[int] = set()
    for some in batches(blob_ids):
        statement = select(Blob.id).where(Blob.id.in_(some), *is_good)
        public.update(session.scalars(statement.where(held.limit(1).scalar_subquery().is_not(None))))
    return public


def await_blobs(session: Session, repo_id: int, blob_ids: Collection[int]) -> None:
    """The repo has these contents by name only."""
    insert_missing(session, UpstreamFile, [{"repo_id": repo_id, "blob_id": each} for each in sorted(blob_ids)])


def is_awaited(session: Session, repo_id: int, blob_id: int) -> bool:
    """Whether the repo has this content by name only."""
    return session.get(UpstreamFile, (repo_id, blob_id)) is not None


def awaited_among(session: Session, repo: Repo, blob_ids: Sequence[int]) -> set[int]:
    """Those of the blobs that the repo has by name only."""
    awaited: set[int] = set()
    for some in batches(blob_ids) if repo.mirrored_at is not None else ():
        statement = select(UpstreamFile.blob_id).where(UpstreamFile.repo_id == repo.id)
        awaited.update(session.scalars(statement.where(UpstreamFile.blob_id.in_(some))))
    return awaited


def forget_awaited(session: Session, repo_id: int, blob_ids: Collection[int]) -> None:
    """The repo has these contents themselves."""
    for some in batches(list(blob_ids)):
        session.execute(delete(UpstreamFile).where(UpstreamFile.repo_id == repo_id, UpstreamFile.blob_id.in_(some)))


def set_ref(session: Session, repo_id: int, kind: str, name: str, commit_id: int) -> None:
    """A branch or tag is at this commit, wherever it was."""
    moved = update(Ref).where(Ref.repo_id == repo_id, Ref.name == name).values(commit_id=commit_id, kind=kind)
    if session.scalar(moved.returning(Ref.id)) is None:
        session.add(Ref(repo_id=repo_id, kind=kind, name=name, commit_id=commit_id))
        session.flush()
