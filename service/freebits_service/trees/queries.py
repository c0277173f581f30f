"""Statements over trees, spans, pages and entries."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from ..db import batches
from ..models import Blob, Tree, TreeEntry, TreePage, TreeSpan
from .pages import Leaf, NewPage, Span


def load_spans(session: Session, tree_id: int) -> list[Span]:
    """All pages of a tree in order."""
    statement = select(TreeSpan.first_path, TreeSpan.page_id).where(TreeSpan.tree_id == tree_id)
    return [
        Span(first_path, page_id) for first_path, page_id in session.execute(statement.order_by(TreeSpan.first_path))
    ]


def load_pages(session: Session, page_ids: Sequence[int]) -> dict[int, list[Leaf]]:
    """The files of some pages, each in order."""
    pages: dict[int, list[Leaf]] = {page_id: [] for page_id in page_ids}
    for some in batches(page_ids):
        statement = (
            select(TreeEntry.page_id, TreeEntry.path, Blob.id, Blob.sha256, Blob.nbytes)
            .join(Blob, Blob.id == TreeEntry.blob_id)
            .where(TreeEntry.page_id.in_(some))
            .order_by(TreeEntry.page_id, TreeEntry.path)
        )
        for page_id, path, blob_id, sha256, nbytes in session.execute(statement):
            pages[page_id].append(Leaf(path, blob_id, sha256, nbytes))
    return pages


def page_digests(session: Session, page_ids: Sequence[int]) -> dict[int, str]:
    """The digests of stored pages."""
    digests: dict[int, str] = {}
    for some in batches(page_ids):
        rows = session.execute(select(TreePage.id, TreePage.digest).where(TreePage.id.in_(some)))
        digests.update((page_id, digest) for page_id, digest in rows)
    return digests


def find_pages(session: Session, repo_id: int, digests: Sequence[str]) -> dict[str, int]:
    """Those of the pages that the repo has already, by digest."""
    found: dict[str, int] = {}
    for some in batches(digests):
        statement = select(TreePage.digest, TreePage.id)
        rows = session.execute(statement.where(TreePage.repo_id == repo_id, TreePage.digest.in_(some)))
        found.update((digest, page_id) for digest, page_id in rows)
    return found


def add_pages(session: Session, repo_id: int, pages: Sequence[NewPage]) -> dict[str, int]:
    """Store pages with their files; their row ids by digest."""
    rows = [TreePage(repo_id=repo_id, digest=page.digest) for page in pages]
    session.add_all(rows)
    session.flush()
    entries = [
        {"page_id": row.id, "path": leaf.path, "blob_id": leaf.blob_id}
        for row, page in zip(rows, pages, strict=True)
        for leaf in page.leaves
    ]
    if entries:
        session.execute(insert(TreeEntry), entries)
    return {row.digest: row.id for row in rows}


def find_tree(session: Session, repo_id: int, digest: str) -> int | None:
    """The repo's tree of this digest."""
    return session.scalar(select(Tree.id).where(Tree.repo_id == repo_id, Tree.digest == digest))


def add_tree(session: Session, repo_id: int, digest: str, spans: Sequence[Span]) -> int:
    """Store a tree over stored pages; its row id."""
    row = Tree(repo_id=repo_id, digest=digest)
    session.add(row)
    session.flush()
    rows = [{"tree_id": row.id, "first_path": span.first_path, "page_id": span.page_id} for span in spans]
    if rows:
        session.execute(insert(TreeSpan), rows)
    return row.id


def find_file(session: Session, tree_id: int, path: str) -> Blob | None:
    """The content at a path: the page that could have it, then the entry."""
    page = (
        select(TreeSpan.page_id)
        .where(TreeSpan.tree_id == tree_id, TreeSpan.first_path <= path)
        .order_by(TreeSpan.first_path.desc())
        .limit(1)
        .scalar_subquery()
    )
    statement = select(Blob).join(TreeEntry, TreeEntry.blob_id == Blob.id)
    return session.scalar(statement.where(TreeEntry.page_id == page, TreeEntry.path == path))


def scan_files(
    session: Session,
    tree_id: int,
    *,
    start: str,
    after_start: bool,
    stop: str | None,
    limit: int,
) -> Sequence[tuple[str, Blob]]:
    """Files with ``start <= path < stop`` in order, without `start` itself when `after_start`."""
    first_page = select(func.max(TreeSpan.first_path)).where(TreeSpan.tree_id == tree_id, TreeSpan.first_path <= start)
    statement = (
        select(TreeEntry.path, Blob)
        .select_from(TreeSpan)
        .join(TreeEntry, TreeEntry.page_id == TreeSpan.page_id)
        .join(Blob, Blob.id == TreeEntry.blob_id)
        .where(TreeSpan.tree_id == tree_id)
        .where(TreeSpan.first_path >= func.coalesce(first_page.scalar_subquery(), ""))
        .where(TreeEntry.path > start if after_start else TreeEntry.path >= start)
        .order_by(TreeSpan.first_path, TreeEntry.path)
        .limit(limit)
    )
    if stop is not None:
        statement = statement.where(TreeSpan.first_path < stop, TreeEntry.path < stop)
    return [(path, blob) for path, blob in session.execute(statement)]
