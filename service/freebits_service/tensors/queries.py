"""Statements over the tensor index."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete, func, select, tuple_, update
from sqlalchemy.orm import Session

from ..db import insert_missing
from ..models import Blob, Repo, RepoBlob, Tensor, TreeEntry, TreePage
from .digests import TensorDigest


def forget_tensors(session: Session, blob_id: int) -> None:
    """The blob is not indexed (any more)."""
    session.execute(update(Blob).where(Blob.id == blob_id).values(tensor_count=None))
    session.execute(delete(Tensor).where(Tensor.blob_id == blob_id))


def add_tensors(session: Session, blob_id: int, tensors: Sequence[TensorDigest]) -> None:
    """Some tensors of a blob; they count once `set_tensor_count` was called."""
    rows = [
        {
            "blob_id": blob_id,
            "number": tensor.number,
            "name": tensor.name,
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "nbytes": tensor.nbytes,
            "start": tensor.start,
            "digest": tensor.digest,
        }
        for tensor in tensors
    ]
    if rows:
        insert_missing(session, Tensor, rows)


def set_tensor_count(session: Session, blob_id: int, count: int) -> None:
    """All tensors of the blob are in the index."""
    session.execute(update(Blob).where(Blob.id == blob_id).values(tensor_count=count))


def list_tensors(session: Session, blob_id: int, after: int | None, limit: int) -> Sequence[Tensor]:
    """The tensors of a blob in the order of its directory, behind number `after`."""
    statement = select(Tensor).where(Tensor.blob_id == blob_id).order_by(Tensor.number).limit(limit)
    if after is not None:
        statement = statement.where(Tensor.number > after)
    return session.scalars(statement).all()


def list_shared(
    session: Session,
    digest: str,
    readable: ColumnElement[bool],
    after: tuple[int, int, int] | None,
    limit: int,
) -> Sequence[tuple[Tensor, Blob, Repo, str]]:
    """Where a tensor is, in repos that fulfil `readable`, behind (blob, number, repo) `after`; with one path each."""
    path = (
        select(func.min(TreeEntry.path))
        .join(TreePage, TreePage.id == TreeEntry.page_id)
        .where(TreeEntry.blob_id == Tensor.blob_id, TreePage.repo_id == Repo.id)
        .scalar_subquery()
    )
    statement = (
        select(Tensor, Blob, Repo, path)
        .join(Blob, Blob.id == Tensor.blob_id)
        .join(RepoBlob, RepoBlob.blob_id == Tensor.blob_id)
        .join(Repo, Repo.id == RepoBlob.repo_id)
        .where(Tensor.digest == digest, Blob.tensor_count.is_not(None), readable)
        .order_by(Tensor.blob_id, Tensor.number, RepoBlob.repo_id)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(tuple_(Tensor.blob_id, Tensor.number, RepoBlob.repo_id) > tuple_(*after))
    return [(tensor, blob, repo, found) for tensor, blob, repo, found in session.execute(statement)]
