"""HTTP for repos and refs."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from fastapi import Query, Response
from sqlalchemy.orm import Session

from .. import models
from ..accounts.principal import ADMIN, require_namespace, require_user
from ..clock import in_seconds
from ..context import Hub
from ..errors import InvalidRequest, RepoExists
from ..http_context import AfterRow, Caller, HubDep, Segment
from ..names import split_repo_name
from ..routers import rest_router
from ..schemas import (
    DeletedRef,
    DeletedRefList,
    DeletedRepo,
    DeletedRepoList,
    NewRef,
    NewRepo,
    Ref,
    RefList,
    Repo,
    RepoChange,
    RepoList,
    Undelete,
)
from . import operations, queries

router = rest_router("repos", reads_repos=True)
PageLimit = Annotated[int, Query(ge=1, le=1000)]


@router.post("/repos", status_code=201)
def create_repo(body: NewRepo, hub: HubDep, caller: Caller) -> Repo:
    """Create a repo; 409 REPO_EXISTS tells the one that is there (``detail.repo``)."""
    namespace, name = split_repo_name(body.name)
    require_namespace(caller, namespace, name)

    def create(session: Session) -> models.Repo:
        try:
            return operations.create_repo(session, caller, namespace, name, body.visibility)
        except RepoExists as error:
            existing = error.detail["repo"]
            shown = _describe(existing, queries.find_head(session, existing))
            raise RepoExists(error.message, repo=shown.model_dump(mode="json")) from None

    return _describe(hub.db.run(create), None)


@router.get("/repos")
def list_repos(
    hub: HubDep,
    caller: Caller,
    namespace: str | None = None,
    after: str | None = None,
    limit: PageLimit = 100,
) -> RepoList:
    """The repos the caller may see, by name."""
    cursor = split_repo_name(after) if after else None
    with hub.db.snapshot() as session:
        rows = queries.list_repos(
            session,
            caller,
            namespace=namespace,
            after=cursor,
            limit=limit + 1,
        )
    items = [_describe(repo, head) for repo, head in rows[:limit]]
    return RepoList(items=items, next=items[-1].name if len(rows) > limit else None)


@router.get("/repos/{namespace}/{name}")
def get_repo(*, namespace: Segment, name: Segment, hub: HubDep, caller: Caller) -> Repo:
    """One repo."""
    with hub.db.snapshot() as session:
        repo = operations.readable_repo(session, caller, namespace, name)
        return _describe(repo, queries.find_head(session, repo))


@router.patch("/repos/{namespace}/{name}")
def change_repo(*, namespace: Segment, name: Segment, body: RepoChange, hub: HubDep, caller: Caller) -> Repo:
    """Make a repo public or private."""
    with hub.db.transaction() as session:
        repo = operations.writable_repo(session, caller, namespace, name, wanted=ADMIN)
        operations.change_visibility(session, caller, repo, body.visibility)
        head = queries.find_head(session, repo)
    return _describe(repo, head).model_copy(update={"visibility": body.visibility})


@router.delete("/repos/{namespace}/{name}", status_code=204)
def delete_repo(*, namespace: Segment, name: Segment, hub: HubDep, caller: Caller) -> Response:
    """Delete a repo with its whole history; for the grace period it can be brought back."""

    def delete(session: Session) -> None:
        repo = operations.writable_repo(session, caller, namespace, name, wanted=ADMIN)
        operations.delete_repo(session, caller, repo)

    hub.db.run(delete)
    return Response(status_code=204)


@router.post("/repos/{namespace}/{name}/undelete")
def undelete_repo(*, namespace: Segment, name: Segment, body: Undelete, hub: HubDep, caller: Caller) -> Repo:
    """Bring back the repo of this name that was deleted last; 409 REPO_EXISTS when the name is taken meanwhile."""
    repo = operations.undelete_repo(hub, caller, namespace, name, body.new_name)
    with hub.db.snapshot() as session:
        return _describe(repo, queries.find_head(session, repo))


@router.get("/deleted-repos")
def list_deleted_repos(
    hub: HubDep,
    caller: Caller,
    namespace: str | None = None,
    after: str | None = None,
    limit: PageLimit = 100,
) -> DeletedRepoList:
    """Deleted repos that the caller can still bring back, by the names they had."""
    require_user(caller)
    with hub.db.snapshot() as session:
        rows = queries.list_deleted_repos(
            session,
            in_seconds(-hub.settings.delete_grace_s),
            caller=caller,
            namespace=namespace,
            after=_deleted_cursor(after) if after else None,
            limit=limit + 1,
        )
    items = [_describe_deleted(hub, repo) for repo in rows[:limit]]
    last = f"{rows[limit - 1].full_name}~{rows[limit - 1].id}" if len(rows) > limit else None
    return DeletedRepoList(items=items, next=last)


@router.get("/repos/{namespace}/{name}/refs")
def list_refs(
    *,
    namespace: Segment,
    name: Segment,
    hub: HubDep,
    caller: Caller,
    after: str | None = None,
    limit: PageLimit = 1000,
) -> RefList:
    """Branches and tags, by name."""
    with hub.db.snapshot() as session:
        repo = operations.readable_repo(session, caller, namespace, name)
        rows = queries.list_refs(session, repo.id, after, limit + 1)
    items = [Ref.model_validate({"type": ref.kind, "name": ref.name, "commit": digest}) for ref, digest in rows[:limit]]
    return RefList(items=items, next=items[-1].name if len(rows) > limit else None)


@router.post("/repos/{namespace}/{name}/refs", status_code=201)
def create_ref(*, namespace: Segment, name: Segment, body: NewRef, hub: HubDep, caller: Caller) -> Ref:
    """Create a branch or tag at a revision."""

    def create(session: Session) -> models.Commit:
        repo = operations.writable_repo(session, caller, namespace, name)
        return operations.create_ref(session, caller, repo, body.type, body.name, body.target)

    commit = hub.db.run(create)
    return Ref(type=body.type, name=body.name, commit=commit.digest)


@router.get("/repos/{namespace}/{name}/deleted-refs")
def list_deleted_refs(
    *,
    namespace: Segment,
    name: Segment,
    hub: HubDep,
    caller: Caller,
    after: AfterRow = None,
    limit: PageLimit = 100,
) -> DeletedRefList:
    """Branches and tags deleted within the grace period, newest first; POST one to ``refs`` to have it back."""
    since = in_seconds(-hub.settings.delete_grace_s)
    with hub.db.snapshot() as session:
        repo = operations.writable_repo(session, caller, namespace, name)
        rows = queries.list_ref_deletions(session, repo, since, after, limit + 1)
    items = [
        DeletedRef(type=note.detail["type"], name=note.detail["name"], commit=commit, deleted_at=note.at, by=note.user)
        for note, commit in rows[:limit]
        if commit is not None
    ]
    return DeletedRefList(items=items, next=rows[limit - 1][0].id if len(rows) > limit else None)


@router.delete("/repos/{namespace}/{name}/refs/{kind}/{ref}", status_code=204)
def delete_ref(
    *,
    namespace: Segment,
    name: Segment,
    kind: Literal["branch", "tag"],
    ref: Segment,
    hub: HubDep,
    caller: Caller,
) -> Response:
    """Delete a branch or tag; its commits stay readable by their ids."""
    with hub.db.transaction() as session:
        repo = operations.writable_repo(session, caller, namespace, name)
        operations.delete_ref(session, caller, repo, kind, ref)
    return Response(status_code=204)


def _deleted_cursor(after: str) -> tuple[str, str, int]:
    full_name, _, number = after.rpartition("~")
    if not number.isdigit():
        raise InvalidRequest(f"{after[:200]!r} is no `next` of a page of deleted repos")
    return (*split_repo_name(full_name), int(number))


def _describe_deleted(hub: Hub, repo: models.Repo) -> DeletedRepo:
    assert repo.deleted_at is not None
    until = repo.deleted_at + timedelta(seconds=hub.settings.delete_grace_s)
    return DeletedRepo.model_validate(
        {
            "name": repo.full_name,
            "visibility": repo.visibility,
            "deleted_at": repo.deleted_at,
            "restorable_until": until,
        }
    )


def _describe(repo: models.Repo, head: models.Commit | None) -> Repo:
    return Repo.model_validate(
        {
            "name": repo.full_name,
            "kind": repo.kind,
            "visibility": repo.visibility,
            "default_branch": repo.default_branch,
            "created_at": repo.created_at,
            "head": head.digest if head else None,
            "mirrored_at": repo.mirrored_at,
        }
    )
