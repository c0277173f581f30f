"""Do the rows fit together: refs, commits, trees, pages, entries, and who holds which blob?

Trees and pages are named by their content, so each is computed again from what lies below it. Whatever looks wrong is
looked at a second time: a live hub changes between two statements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from sqlalchemy import Executable
from sqlalchemy.orm import Session

from ..context import Hub
from ..models import Tree, TreePage
from ..trees.pages import leaves_digest, tree_digest
from ..trees.queries import load_pages
from . import queries
from .findings import Finding, Report

BATCH = 200
Row = TypeVar("Row", Tree, TreePage)


def check_references(hub: Hub, report: Report, *, repair: bool) -> None:
    """Check all rows; with `repair` what a file needs is held by its repo again."""
    _check_rows(hub, report, queries.bad_refs, "ref", "points at no commit of its repo")
    _check_rows(hub, report, queries.bad_commits, "commit", "its tree or parent is not there")
    for tree in _walk(hub, queries.trees_after):
        if not _is_sound_tree(hub, tree) and not _is_sound_tree(hub, tree):
            _report(hub, report, tree.repo_id, f"tree {tree.digest}", "its pages do not give its digest")
    for pages in _walk_batches(hub, queries.pages_after):
        _check_pages(hub, report, pages, repair)
        report.pages += len(pages)
        report.read(0)


def _check_rows(hub: Hub, report: Report, statement: Callable[[int, int], Executable], kind: str, problem: str) -> None:
    last = 0
    while True:
        with hub.db.snapshot() as session:
            found = [(repo_id, row_id) for repo_id, row_id in session.execute(statement(last, BATCH))]
        for repo_id, row_id in found:
            with hub.db.snapshot() as session:
                again = session.execute(statement(row_id - 1, 1)).first()
            if again is not None and again[1] == row_id:
                _report(hub, report, repo_id, f"{kind} {row_id}", problem)
        if len(found) < BATCH:
            return
        last = found[-1][1]


def _is_sound_tree(hub: Hub, tree: Tree) -> bool:
    with hub.db.snapshot() as session:
        pages = queries.pages_of_tree(session, tree)
        if tree_digest(digest for _, digest in pages) == tree.digest:
            return True
        return session.get(Tree, tree.id) is None


def _check_pages(hub: Hub, report: Report, pages: Sequence[TreePage], repair: bool) -> None:
    for page in _unsound_pages(hub, _unsound_pages(hub, pages)):
        _report(hub, report, page.repo_id, f"page {page.digest}", "its files do not give its digest")
    with hub.db.snapshot() as session:
        suspicious = queries.entries_not_held(session, [page.id for page in pages])
    if not suspicious:
        return
    with hub.db.snapshot() as session:
        wrong = queries.entries_not_held(session, [page.id for page in pages])
    for repo_id, blob_id in wrong:
        done = ""
        if repair:
            with hub.db.transaction() as session:
                done = "held again" if queries.hold(session, repo_id, blob_id) else ""
        _report(hub, report, repo_id, f"blob row {blob_id}", "a file needs it, its repo does not hold it", done)


def _unsound_pages(hub: Hub, pages: Sequence[TreePage]) -> list[TreePage]:
    if not pages:
        return []
    with hub.db.snapshot() as session:
        loaded = load_pages(session, [page.id for page in pages])
        bad = [page for page in pages if leaves_digest(loaded[page.id]) != page.digest]
        return [page for page in bad if session.get(TreePage, page.id) is not None]


def _report(hub: Hub, report: Report, repo_id: int, what: str, problem: str, done: str = "") -> None:
    with hub.db.snapshot() as session:
        name = queries.repo_name(session, repo_id)
    if name is not None:
        report.add(Finding("reference", f"{what} of {name}", problem, done=done))


def _walk(hub: Hub, rows_after: Callable[[Session, int, int], Sequence[Row]]) -> Iterator[Row]:
    for batch in _walk_batches(hub, rows_after):
        yield from batch


def _walk_batches(hub: Hub, rows_after: Callable[[Session, int, int], Sequence[Row]]) -> Iterator[Sequence[Row]]:
    last = 0
    while True:
        with hub.db.snapshot() as session:
            rows = rows_after(session, last, BATCH)
        if not rows:
            return
        yield rows
        last = rows[-1].id
