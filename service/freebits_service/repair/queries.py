"""Statements of the check. All walk by row id and read a batch in a transaction of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, Executable, exists, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from ..db import insert_missing
from ..jobs.queries import ACTIVE
from ..models import (
    Blob,
    Commit,
    Job,
    Ref,
    Repo,
    RepoBlob,
    Tensor,
    Tree,
    TreeEntry,
    TreePage,
    TreeSpan,
    UpstreamFile,
)


def blobs_after(session: Session, last: int, limit: int) -> Sequence[Blob]:
    """Blobs by row id."""
    return session.scalars(select(Blob).where(Blob.id > last).order_by(Blob.id).limit(limit)).all()


def tensor_counts(session: Session, blob_ids: Collection[int]) -> Mapping[int, int]:
    """Rows of the tensor index, by blob."""
    statement = select(Tensor.blob_id, func.count()).where(Tensor.blob_id.in_(blob_ids)).group_by(Tensor.blob_id)
    rows = session.execute(statement).all()
    return {blob_id: count for blob_id, count in rows}  # noqa: C416 - mypy does not take rows for pairs


def count_tensors(session: Session, blob_id: int) -> int:
    """Rows of the tensor index of one blob."""
    return tensor_counts(session, [blob_id]).get(blob_id, 0)


def encoding_without_job(session: Session, blob_ids: Collection[int]) -> set[int]:
    """Those of the blobs that wait for an encoding that nobody will make."""
    working = exists().where(Job.blob_id == Blob.id, Job.state.in_(ACTIVE))
    return set(session.scalars(select(Blob.id).where(Blob.id.in_(blob_ids), Blob.state == "encoding", ~working)))


def files_of(session: Session, blob_id: int, limit: int) -> list[str]:
    """Some files with this content, as ``namespace/name:path``."""
    statement = (
        select(Repo, TreeEntry.path)
        .join(TreePage, TreePage.repo_id == Repo.id)
        .join(TreeEntry, TreeEntry.page_id == TreePage.id)
        .where(TreeEntry.blob_id == blob_id)
        .limit(limit)
    )
    return sorted({f"{repo.full_name}:{path}" for repo, path in session.execute(statement)})


def bad_refs(last: int, limit: int) -> Executable:
    """(repo, ref) where the ref is at no commit of its repo. All such statements leave out what is being purged."""
    statement = select(Ref.repo_id, Ref.id).outerjoin(Commit, Commit.id == Ref.commit_id)
    wrong = or_(Commit.id.is_(None), Commit.repo_id != Ref.repo_id)
    return statement.where(wrong, Ref.id > last, _kept(Ref.repo_id)).order_by(Ref.id).limit(limit)


def bad_commits(last: int, limit: int) -> Executable:
    """(repo, commit) where the tree or the parent is none of the repo."""
    parent = aliased(Commit)
    statement = (
        select(Commit.repo_id, Commit.id)
        .outerjoin(Tree, Tree.id == Commit.tree_id)
        .outerjoin(parent, parent.id == Commit.parent_id)
    )
    wrong = or_(
        Tree.id.is_(None),
        Tree.repo_id != Commit.repo_id,
        Commit.parent_id.is_not(None) & or_(parent.id.is_(None), parent.repo_id != Commit.repo_id),
    )
    return statement.where(wrong, Commit.id > last, _kept(Commit.repo_id)).order_by(Commit.id).limit(limit)


def trees_after(session: Session, last: int, limit: int) -> Sequence[Tree]:
    """Trees by row id."""
    statement = select(Tree).where(Tree.id > last, _kept(Tree.repo_id)).order_by(Tree.id).limit(limit)
    return session.scalars(statement).all()


def pages_of_tree(session: Session, tree: Tree) -> Sequence[tuple[str, str]]:
    """(first path, digest) of the pages of a tree that are pages of its repo, in order."""
    statement = (
        select(TreeSpan.first_path, TreePage.digest)
        .join(TreePage, TreePage.id == TreeSpan.page_id)
        .where(TreeSpan.tree_id == tree.id, TreePage.repo_id == tree.repo_id)
        .order_by(TreeSpan.first_path)
    )
    return [(first_path, digest) for first_path, digest in session.execute(statement)]


def pages_after(session: Session, last: int, limit: int) -> Sequence[TreePage]:
    """Pages by row id."""
    statement = select(TreePage).where(TreePage.id > last, _kept(TreePage.repo_id)).order_by(TreePage.id).limit(limit)
    return session.scalars(statement).all()


def entries_not_held(session: Session, page_ids: Collection[int]) -> Sequence[tuple[int, int]]:
    """(repo, blob) of entries whose repo neither holds the blob nor awaits it."""
    held = exists().where(RepoBlob.repo_id == TreePage.repo_id, RepoBlob.blob_id == TreeEntry.blob_id)
    awaited = exists().where(UpstreamFile.repo_id == TreePage.repo_id, UpstreamFile.blob_id == TreeEntry.blob_id)
    statement = (
        select(TreePage.repo_id, TreeEntry.blob_id)
        .join(TreeEntry, TreeEntry.page_id == TreePage.id)
        .where(TreePage.id.in_(page_ids), ~held, ~awaited, _kept(TreePage.repo_id))
        .distinct()
    )
    return [(repo_id, blob_id) for repo_id, blob_id in session.execute(statement)]


def hold(session: Session, repo_id: int, blob_id: int) -> bool:
    """The repo holds the blob, as one of its files says; False when there is no such blob."""
    if session.get(Blob, blob_id) is None:
        return False
    insert_missing(session, RepoBlob, [{"repo_id": repo_id, "blob_id": blob_id}])
    return True


def repo_name(session: Session, repo_id: int) -> str | None:
    """What a repo is called; None when it is not there or being purged."""
    repo = session.get(Repo, repo_id)
    return None if repo is None or repo.purging else repo.full_name


def _kept(repo_id: InstrumentedAttribute[int]) -> ColumnElement[bool]:
    return exists().where(Repo.id == repo_id, Repo.purging.is_(False))
