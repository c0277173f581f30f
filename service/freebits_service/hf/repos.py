"""Repos for Hugging Face clients: who asks, what there is, make, rename, change, delete."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from .. import models
from ..accounts.principal import ADMIN, WRITE, Principal, require_namespace, require_user
from ..accounts.queries import label_of
from ..context import Hub
from ..errors import NotOffered, RepoExists, RepoNotFound
from ..http_context import Caller, HubDep, Segment
from ..names import split_repo_name
from ..repos import operations, queries
from ..routers import hf_router
from ..trees.operations import list_files
from .addresses import KINDS_API, Kind, next_page, repo_url
from .bodies import Json, repo_facts, sibling
from .commits import Asked, make_commit
from .schemas import Header, LfsFile, NamedRepo, NewRepo, RepoMove, RepoSettings
from .uploads import store_first_file

accounts = hf_router("/api")
router = hf_router(KINDS_API, reads_repos=True)
LISTED_SIBLINGS = 50_001  # one more than clients take from here; of longer lists they ask for the tree
FIRST_FILE = ".gitattributes"


@accounts.get("/whoami-v2")
def whoami(hub: HubDep, caller: Caller) -> Json:
    """Who the token belongs to, and the organizations that its user is in."""
    require_user(caller)
    with hub.db.snapshot() as session:
        label = label_of(session, caller.token_id)
    role = "read" if caller.scope == "read" else "write"
    return {
        "type": "user",
        "id": f"{caller.user_id:024x}",
        "name": caller.name,
        "fullname": caller.name,
        "orgs": [{"type": "org", "name": name, "roleInOrg": role} for name, role in sorted(caller.roles.items())],
        "auth": {"type": "access_token", "accessToken": {"displayName": label, "role": role}},
    }


@accounts.post("/repos/create")
def create_repo(body: NewRepo, request: Request, hub: HubDep, caller: Caller) -> Response:
    """Make a repo with a first commit, so that it can be branched and listed; 409 tells the address that there is."""
    require_user(caller)
    namespace, name = split_repo_name(_full_name(caller, body.organization, body.name))
    require_namespace(caller, namespace, name)
    kind = body.type or "model"

    def create(session: Session) -> tuple[models.Repo, bool]:
        existing = queries.find_repo(session, namespace, name)
        if existing is not None:
            return existing, False
        return operations.create_repo(session, caller, namespace, name, body.wanted_visibility, kind), True

    repo, is_new = hub.db.run(create)
    if repo.kind != kind:
        raise RepoExists(f"{repo.full_name!r} is the name of a {repo.kind} already")
    facts = {"url": repo_url(request, kind, repo.full_name), "name": repo.full_name, "id": repo.full_name}
    if not is_new:
        return JSONResponse({**facts, "error": f"there is a {kind} {repo.full_name!r} already"}, status_code=409)
    _commit_first_file(hub, caller, repo)
    return JSONResponse(facts)


def _commit_first_file(hub: Hub, caller: Principal, repo: models.Repo) -> None:
    content = store_first_file(hub, caller, repo)
    asked = Asked(Header(summary="initial commit"), [LfsFile(path=FIRST_FILE, oid=content.sha256)])
    make_commit(hub, caller, repo.namespace, repo.name, repo.kind, repo.default_branch, asked)


@accounts.delete("/repos/delete")
def delete_repo(body: NamedRepo, hub: HubDep, caller: Caller) -> Json:
    """Delete a repo; for the grace period of the hub it can be brought back."""
    require_user(caller)
    namespace, name = split_repo_name(_full_name(caller, body.organization, body.name))

    def delete(session: Session) -> None:
        repo = operations.writable_repo(session, caller, namespace, name, body.type or "model", wanted=ADMIN)
        operations.delete_repo(session, caller, repo)

    hub.db.run(delete)
    return {}


@accounts.post("/repos/move")
def move_repo(body: RepoMove, hub: HubDep, caller: Caller) -> Json:
    """Rename a repo; nothing leads from its old name to the new one."""
    source, target = split_repo_name(body.from_repo), split_repo_name(body.to_repo)

    def move(session: Session) -> None:
        repo = operations.writable_repo(session, caller, *source, body.type, wanted=ADMIN)
        require_namespace(caller, *target)
        operations.move_repo(session, hub.settings, caller, repo, *target)

    hub.db.run(move)
    return {}


@router.get("")
def list_repos(
    *,
    request: Request,
    response: Response,
    hub: HubDep,
    caller: Caller,
    kind: Kind,
    author: str | None = None,
    search: str = "",
    limit: Annotated[int, Query(ge=1)] = 100,
    cursor: str | None = None,
) -> list[Json]:
    """Repos by name. What sorting and the other filters of the Hugging Face Hub need is not counted here."""
    limit = min(limit, 1000)
    after = split_repo_name(cursor) if cursor else None
    with hub.db.snapshot() as session:
        rows = queries.list_repos(
            session, caller, namespace=author, after=after, limit=limit + 1, kind=kind, search=search[:200]
        )
    if len(rows) > limit:
        response.headers["Link"] = next_page(request, rows[limit - 1][0].full_name)
    return [repo_facts(repo, head) for repo, head in rows[:limit]]


@router.get("/{namespace}/{name}")
def repo_info(
    *, namespace: Segment, name: Segment, request: Request, hub: HubDep, caller: Caller, kind: Kind, blobs: bool = False
) -> Json:
    """A repo at its default branch."""
    with hub.db.snapshot() as session:
        repo = operations.readable_repo(session, caller, namespace, name, kind)
        return _describe(session, request, repo, queries.find_head(session, repo), blobs)


@router.get("/{namespace}/{name}/revision/{revision}")
def revision_info(
    *,
    namespace: Segment,
    name: Segment,
    revision: Segment,
    request: Request,
    hub: HubDep,
    caller: Caller,
    kind: Kind,
    blobs: bool = False,
) -> Json:
    """A repo at a revision; ``sha`` is the commit, by which clients ask for everything else."""
    with hub.db.snapshot() as session:
        repo = operations.readable_repo(session, caller, namespace, name, kind)
        return _describe(session, request, repo, operations.resolve_revision(session, repo, revision), blobs)


def _describe(
    session: Session, request: Request, repo: models.Repo, commit: models.Commit | None, with_sizes: bool
) -> Json:
    """With `expand` a client names what it wants, and files are not among it unless it says so."""
    expanded = {*request.query_params.getlist("expand"), *request.query_params.getlist("expand[]")}
    described: dict[str, Any] = {**repo_facts(repo, commit), "cardData": {}}
    if not expanded or "siblings" in expanded:
        files = list_files(session, commit.tree_id, "", None, LISTED_SIBLINGS) if commit else []
        described["siblings"] = [sibling(path, blob, with_sizes=with_sizes) for path, blob in files]
    return described


@router.put("/{namespace}/{name}/settings")
def change_settings(
    *, namespace: Segment, name: Segment, body: RepoSettings, hub: HubDep, caller: Caller, kind: Kind
) -> Json:
    """Make a repo public or private."""
    if body.gated:
        raise NotOffered("gated repos; make it private and give its readers a role in its organization")
    visibility = body.visibility
    if visibility is None and body.private is not None:
        visibility = "private" if body.private else "public"
    with hub.db.transaction() as session:
        repo = operations.writable_repo(session, caller, namespace, name, kind, wanted=ADMIN)
        if visibility is not None:
            operations.change_visibility(session, caller, repo, visibility)
    return {}


@router.get("/{namespace}/{name}/auth-check")
def check_read(*, namespace: Segment, name: Segment, hub: HubDep, caller: Caller, kind: Kind) -> Json:
    """Whether the caller may read the repo: 404 if not."""
    with hub.db.snapshot() as session:
        operations.readable_repo(session, caller, namespace, name, kind)
    return {}


@router.get("/{namespace}/{name}/auth-check/write")
def check_write(*, namespace: Segment, name: Segment, hub: HubDep, caller: Caller, kind: Kind) -> Json:
    """Whether the caller may write to the repo: 401 or 403 if not."""
    with hub.db.snapshot() as session:
        operations.writable_repo(session, caller, namespace, name, kind, wanted=WRITE)
    return {}


def _full_name(caller: Principal, organization: str | None, name: str) -> str:
    if "/" in name:
        return name
    if not name:
        raise RepoNotFound("")
    return f"{organization or caller.name}/{name}"
