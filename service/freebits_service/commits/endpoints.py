"""HTTP for commits and listings of a revision."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from ..errors import PathNotFound, RevisionNotFound
from ..http_context import Caller, HubDep, Segment
from ..models import Blob
from ..names import check_path, is_commit_id
from ..repos import operations as repos
from ..repos import queries as repo_queries
from ..routers import rest_router
from ..schemas import Commit, CommitList, Entry, NewCommit, Tree
from ..trees.operations import list_files, list_folder
from . import operations, queries

router = rest_router("commits", reads_repos=True)
HistoryLimit = Annotated[int, Query(ge=1, le=1000)]
TreeLimit = Annotated[int, Query(ge=1, le=10_000)]


@router.post("/repos/{namespace}/{name}/commits", status_code=201)
def make_commit(*, namespace: Segment, name: Segment, body: NewCommit, hub: HubDep, caller: Caller) -> Commit:
    """Change files on a branch that is still at ``parent``; 409 HEAD_MOVED otherwise."""
    return operations.commit(hub, caller, namespace, name, body)


@router.get("/repos/{namespace}/{name}/commits/{revision}")
def list_commits(
    *,
    namespace: Segment,
    name: Segment,
    revision: Segment,
    hub: HubDep,
    caller: Caller,
    after: str | None = None,
    limit: HistoryLimit = 100,
) -> CommitList:
    """History, newest first."""
    with hub.db.snapshot() as session:
        repo = repos.readable_repo(session, caller, namespace, name)
        first = repos.resolve_revision(session, repo, revision)
        if after is not None:
            last = repo_queries.find_commit(session, repo.id, after) if is_commit_id(after) else None
            if last is None:
                raise RevisionNotFound(repo.full_name, after[:255])
            older = repo_queries.find_commit_by_row(session, last.parent_id)
            if older is None:
                return CommitList(items=[], next=None)
            first = older
        rows = queries.list_history(session, first.id, limit + 1)
    items = [operations.describe(row, parent) for row, parent in rows[:limit]]
    return CommitList(items=items, next=items[-1].id if len(rows) > limit else None)


@router.get("/repos/{namespace}/{name}/tree/{revision}")
def list_tree(
    *,
    namespace: Segment,
    name: Segment,
    revision: Segment,
    hub: HubDep,
    caller: Caller,
    path: str = "",
    recursive: bool = False,
    after: str | None = None,
    limit: TreeLimit = 1000,
) -> Tree:
    """Files of a revision in order of their paths; without ``recursive`` those directly in ``path``."""
    folder = check_path(path.rstrip("/")) if path else ""
    with hub.db.snapshot() as session:
        repo = repos.readable_repo(session, caller, namespace, name)
        commit = repos.resolve_revision(session, repo, revision)
        listing = list_files if recursive else list_folder
        found = listing(session, commit.tree_id, folder, after, limit + 1)
    if folder and not found and after is None:
        raise PathNotFound(path, revision)
    items = [_entry(child, blob) for child, blob in found[:limit]]
    after = found[limit - 1][0] if len(found) > limit else None
    return Tree.model_validate({"commit": commit.digest, "kind": repo.kind, "items": items, "next": after})


def _entry(path: str, blob: Blob | None) -> Entry:
    if blob is None:
        return Entry(type="directory", path=path.rstrip("/"))
    return Entry.model_validate(
        {
            "type": "file",
            "path": path,
            "nbytes": blob.nbytes,
            "sha256": blob.sha256,
            "stored_nbytes": blob.stored_nbytes,
            "state": blob.state,
        }
    )
