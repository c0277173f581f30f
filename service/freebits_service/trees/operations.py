"""Store an edited tree, and list one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import partial

from sqlalchemy.orm import Session

from ..models import Blob
from . import queries
from .pages import Changes, Leaf, NewPage, Span, edit, tree_digest

_AFTER_SLASH = chr(ord("/") + 1)  # every path in folder f lies in [f + "/", f + _AFTER_SLASH)


def store_edited(session: Session, repo_id: int, parent_tree_id: int | None, changes: Changes) -> tuple[int, str]:
    """The tree that `changes` make of the parent's: its row id and digest. Raises what `pages.edit` raises."""
    spans = queries.load_spans(session, parent_tree_id) if parent_tree_id is not None else []
    pages = edit(spans, changes, partial(queries.load_pages, session))
    old = queries.page_digests(session, [page.page_id for page in pages if isinstance(page, Span)])
    digest = tree_digest(page.digest if isinstance(page, NewPage) else old[page.page_id] for page in pages)
    known = queries.find_tree(session, repo_id, digest)
    if known is not None:
        return known, digest
    return queries.add_tree(session, repo_id, digest, _stored(session, repo_id, pages)), digest


def _stored(session: Session, repo_id: int, pages: list[Span | NewPage]) -> list[Span]:
    new = {page.digest: page for page in pages if isinstance(page, NewPage)}
    known = queries.find_pages(session, repo_id, list(new))
    known.update(queries.add_pages(session, repo_id, [page for digest, page in new.items() if digest not in known]))
    return [page if isinstance(page, Span) else Span(page.first_path, known[page.digest]) for page in pages]


def find_files(session: Session, tree_id: int, paths: Sequence[str]) -> dict[str, Leaf]:
    """Those of the files that the tree has, by path; two statements for hundreds of paths."""
    spans = queries.load_spans(session, tree_id)
    firsts = [span.first_path for span in spans]
    wanted = {spans[max(0, bisect_right(firsts, path) - 1)].page_id for path in paths} if spans else set()
    pages = queries.load_pages(session, sorted(wanted))
    leaves = {leaf.path: leaf for page in pages.values() for leaf in page}
    return {path: leaves[path] for path in paths if path in leaves}


def list_files(
    session: Session,
    tree_id: int,
    folder: str,
    after: str | None,
    limit: int,
) -> Sequence[tuple[str, Blob]]:
    """Files below `folder` (or all, for ``""``; or the one file of that path) in order, after path `after`."""
    if folder and after is None:
        blob = queries.find_file(session, tree_id, folder)
        if blob is not None:
            return [(folder, blob)]
    start, stop = _bounds(folder)
    return queries.scan_files(
        session,
        tree_id,
        start=max(start, after or ""),
        after_start=after is not None and after >= start,
        stop=stop,
        limit=limit,
    )


def list_folder(
    session: Session,
    tree_id: int,
    folder: str,
    after: str | None,
    limit: int,
) -> Sequence[tuple[str, Blob | None]]:
    """What lies directly in `folder`: files with their blobs, folders (path ending in ``/``) with None.

    `after` is the last path of the page before, as returned here.
    """
    listed: list[tuple[str, Blob | None]] = []
    for child in _children(session, tree_id, folder, after, limit):
        listed.append(child)
        if len(listed) == limit:
            break
    return listed


def _children(
    session: Session,
    tree_id: int,
    folder: str,
    after: str | None,
    batch: int,
) -> Iterator[tuple[str, Blob | None]]:
    """Scan files; at each folder jump behind its last path."""
    if folder and after is None:
        blob = queries.find_file(session, tree_id, folder)
        if blob is not None:
            yield folder, blob
            return
    start, stop = _bounds(folder)
    depth = len(folder) + 1 if folder else 0
    after_start = False
    if after is not None:
        start, after_start = _behind(after)
    while True:
        found = queries.scan_files(
            session,
            tree_id,
            start=start,
            after_start=after_start,
            stop=stop,
            limit=batch,
        )
        for path, blob in found:
            if (path <= start) if after_start else (path < start):
                continue
            name, slash, _ = path[depth:].partition("/")
            child = path[:depth] + name + slash
            start, after_start = _behind(child)
            yield child, None if slash else blob
        if len(found) < batch:
            return


def _bounds(folder: str) -> tuple[str, str | None]:
    return (folder + "/", folder + _AFTER_SLASH) if folder else ("", None)


def _behind(child: str) -> tuple[str, bool]:
    """Where a scan goes on after a child: a start, and whether the start itself is left out."""
    return (child[:-1] + _AFTER_SLASH, False) if child.endswith("/") else (child, True)
