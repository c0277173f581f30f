"""Branches, tags and history for Hugging Face clients."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response
from sqlalchemy.orm import Session

from .. import models
from ..accounts.principal import Principal
from ..commits.queries import list_history
from ..context import Hub
from ..errors import RevisionNotFound
from ..http_context import Caller, HubDep, Segment
from ..names import is_commit_id
from ..repos import operations, queries
from ..routers import hf_router
from .addresses import REPO_API, Kind, next_page
from .bodies import Json, history_entry, refs_body
from .schemas import NewBranch, NewTag

router = hf_router(REPO_API, reads_repos=True)
MAX_REFS = 10_000  # clients ask for all at once


@router.get("/refs")
def list_refs(
    *, namespace: Segment, name: Segment, hub: HubDep, caller: Caller, kind: Kind, include_prs: bool = False
) -> Json:
    """All branches and tags."""
    with hub.db.snapshot() as session:
        repo = operations.readable_repo(session, caller, namespace, name, kind)
        rows = queries.list_refs(session, repo.id, None, MAX_REFS)
    return refs_body(((ref.kind, ref.name, digest) for ref, digest in rows), with_pull_requests=include_prs)


@router.get("/commits/{revision}")
def list_commits(
    *,
    namespace: Segment,
    name: Segment,
    revision: Segment,
    request: Request,
    response: Response,
    hub: HubDep,
    caller: Caller,
    kind: Kind,
    limit: Annotated[int, Query(ge=1)] = 100,
    cursor: str | None = None,
) -> list[Json]:
    """History, newest first; `cursor` is the commit that a page begins with."""
    limit = min(limit, 1000)
    with hub.db.snapshot() as session:
        repo = operations.readable_repo(session, caller, namespace, name, kind)
        first = operations.resolve_revision(session, repo, revision)
        if cursor is not None:
            found = queries.find_commit(session, repo.id, cursor) if is_commit_id(cursor) else None
            if found is None:
                raise RevisionNotFound(repo.full_name, cursor[:255])
            first = found
        rows = list_history(session, first.id, limit + 1)
    if len(rows) > limit:
        response.headers["Link"] = next_page(request, rows[limit][0].digest)
    return [history_entry(commit) for commit, _ in rows[:limit]]


@router.post("/branch/{ref}")
def create_branch(
    *,
    namespace: Segment,
    name: Segment,
    ref: Segment,
    hub: HubDep,
    caller: Caller,
    kind: Kind,
    body: NewBranch | None = None,
) -> Json:
    """Begin a branch at a revision, the default branch if none is said."""
    return _create(hub, caller, (namespace, name, kind), "branch", ref, body.starting_point if body else None)


@router.delete("/branch/{ref}")
def delete_branch(*, namespace: Segment, name: Segment, ref: Segment, hub: HubDep, caller: Caller, kind: Kind) -> Json:
    """Delete a branch."""
    return _delete(hub, caller, (namespace, name, kind), "branch", ref)


@router.post("/tag/{revision}")
def create_tag(
    *, namespace: Segment, name: Segment, revision: Segment, body: NewTag, hub: HubDep, caller: Caller, kind: Kind
) -> Json:
    """Put a tag on a revision."""
    return _create(hub, caller, (namespace, name, kind), "tag", body.tag, revision)


@router.delete("/tag/{ref}")
def delete_tag(*, namespace: Segment, name: Segment, ref: Segment, hub: HubDep, caller: Caller, kind: Kind) -> Json:
    """Delete a tag."""
    return _delete(hub, caller, (namespace, name, kind), "tag", ref)


Address = tuple[str, str, str]  # namespace, name, kind


def _create(hub: Hub, caller: Principal, address: Address, ref_kind: str, ref: str, target: str | None) -> Json:
    def create(session: Session) -> models.Commit:
        repo = operations.writable_repo(session, caller, *address)
        return operations.create_ref(session, caller, repo, ref_kind, ref, target or repo.default_branch)

    return {"name": ref, "targetCommit": hub.db.run(create).digest}


def _delete(hub: Hub, caller: Principal, address: Address, ref_kind: str, ref: str) -> Json:
    with hub.db.transaction() as session:
        repo = operations.writable_repo(session, caller, *address)
        operations.delete_ref(session, caller, repo, ref_kind, ref)
    return {}
