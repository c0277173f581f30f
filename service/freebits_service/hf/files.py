"""Listing and reading the files of a revision for Hugging Face clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from functools import partial
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import Query, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from .. import models
from ..commits.queries import find_blobs
from ..context import Hub
from ..downloads.endpoints import serve
from ..downloads.locate import Located, locate
from ..errors import InvalidRequest, PathNotFound, TooLarge
from ..http_context import Caller, HubDep, Segment
from ..names import check_path
from ..repos.operations import readable_repo, resolve_revision
from ..routers import hf_router
from ..trees.operations import find_files, list_files, list_folder
from ..trees.pages import ancestors
from ..xet.offers import is_offered, offer, offered_among
from .addresses import REPO_API, REPO_FILES, Kind, api_url, next_page
from .bodies import Json, file_entry, folder_entry

router = hf_router(REPO_API, reads_repos=True)
downloads = hf_router(REPO_FILES, reads_repos=True)
MAX_ASKED_PATHS = 1000
PAGE = 1000


@router.get("/tree/{revision}")
@router.get("/tree/{revision}/{path:path}")
def list_tree(
    *,
    namespace: Segment,
    name: Segment,
    revision: Segment,
    path: Segment = "",
    request: Request,
    response: Response,
    hub: HubDep,
    caller: Caller,
    kind: Kind,
    recursive: bool = False,
    limit: Annotated[int, Query(ge=1)] = PAGE,
    cursor: str | None = None,
) -> list[Json]:
    """Files of a revision in order of their paths; a folder that is not there has none, and is 404."""
    limit, folder = min(limit, PAGE), check_path(path.rstrip("/")) if path.strip("/") else ""
    with hub.db.snapshot() as session:
        repo = readable_repo(session, caller, namespace, name, kind)
        commit = resolve_revision(session, repo, revision)
        listing = list_files if recursive else list_folder
        found: Sequence[tuple[str, models.Blob | None]] = listing(session, commit.tree_id, folder, cursor, limit + 1)
        offered = offered_among(hub, session, repo, [blob for _, blob in found if blob is not None])
    if folder and cursor is None and (not found or found[0][0] == folder):
        raise PathNotFound(folder, revision, commit.digest)
    if len(found) > limit:
        response.headers["Link"] = next_page(request, found[limit - 1][0])
    seen = {folder, *ancestors(folder), *ancestors(cursor or "")}  # their folders were on the page before
    if recursive:
        return _entries(found[:limit], seen, commit.digest, offered)
    return _flat(found[:limit], commit.digest, offered)


def _flat(found: Sequence[tuple[str, models.Blob | None]], commit: str, offered: Set[int]) -> list[Json]:
    return [
        folder_entry(path[:-1], commit) if blob is None else file_entry(path, blob, by_xet=blob.id in offered)
        for path, blob in found
    ]


def _entries(
    found: Sequence[tuple[str, models.Blob | None]], seen: set[str], commit: str, offered: Set[int]
) -> list[Json]:
    """Recursive listings show folders, too: each before the first of its files."""
    entries: list[Json] = []
    for path, blob in found:
        new = [folder for folder in ancestors(path) if folder not in seen]
        seen.update(new)
        entries += [folder_entry(folder, commit) for folder in new]
        if blob is not None:
            entries.append(file_entry(path, blob, by_xet=blob.id in offered))
    return entries


@router.post("/paths-info/{revision}")
async def paths_info(
    *, namespace: Segment, name: Segment, revision: Segment, request: Request, hub: HubDep, caller: Caller, kind: Kind
) -> list[Json]:
    """What is at some paths; of those where nothing is, nothing is said."""
    paths = await _asked_paths(request)

    def look() -> list[Json]:
        with hub.db.snapshot() as session:
            repo = readable_repo(session, caller, namespace, name, kind)
            commit = resolve_revision(session, repo, revision)
            return _infos(hub, session, repo, commit, paths)

    return await run_in_threadpool(look)


async def _asked_paths(request: Request) -> list[str]:
    """Python clients send a form, others JSON."""
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            body: Any = await request.json()
        except ValueError:
            raise InvalidRequest("the body is not JSON") from None
        sent = body.get("paths") if isinstance(body, dict) else None
        paths = [sent] if isinstance(sent, str) else sent
    else:
        text = (await request.body()).decode("ascii", "replace")
        paths = [value for key, value in parse_qsl(text, max_num_fields=MAX_ASKED_PATHS) if key == "paths"]
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise InvalidRequest("`paths` must be given, once or more often")
    if len(paths) > MAX_ASKED_PATHS:
        raise TooLarge(f"{len(paths)} paths at once, at most {MAX_ASKED_PATHS}", limit=MAX_ASKED_PATHS)
    return [path.strip("/") for path in paths]


def _infos(hub: Hub, session: Session, repo: models.Repo, commit: models.Commit, paths: Sequence[str]) -> list[Json]:
    files = find_files(session, commit.tree_id, paths)
    blobs = find_blobs(session, list({leaf.sha256 for leaf in files.values()}))
    offered = offered_among(hub, session, repo, list(blobs.values()))
    infos = []
    for path in dict.fromkeys(paths):
        if path in files:
            blob = blobs[files[path].sha256]
            infos.append(file_entry(path, blob, by_xet=blob.id in offered))
        elif path and list_files(session, commit.tree_id, path, None, 1):
            infos.append(folder_entry(path, commit.digest))
    return infos


@downloads.head("/resolve/{revision}/{path:path}")
@downloads.get("/resolve/{revision}/{path:path}")
async def resolve(
    *,
    namespace: Segment,
    name: Segment,
    revision: Segment,
    path: Segment,
    request: Request,
    hub: HubDep,
    caller: Caller,
    kind: Kind,
) -> Response:
    """A file of a revision, whole or one range of it."""

    def offered(located: Located) -> Mapping[str, str]:
        if located.awaited_by is not None or not is_offered(hub, located.blob):
            return {}
        return offer(f"{api_url(request, kind, f'{namespace}/{name}')}/xet-read-token/{located.commit}", located.blob)

    return await serve(request, hub, partial(locate, hub, caller, namespace, name, revision, path, kind), offered)
