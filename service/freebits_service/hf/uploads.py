"""Uploads by Hugging Face clients: how each file is to be sent, and the commit at the end."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from .. import models
from ..accounts.principal import Principal
from ..blobs.queries import git_oids_of
from ..context import Hub
from ..http_context import Caller, HubDep, Segment
from ..routers import hf_router
from ..settings import MIB
from ..trees.operations import find_files
from ..uploads.whole import Content, store_contents
from .addresses import REPO_API, Kind, commit_url
from .bodies import Json
from .commits import make_commit, receive, writable_branch
from .ignored import find_rules, ignored_by, read_rules
from .missing import refuse_pull_requests
from .schemas import Preupload

router = hf_router(REPO_API)
checks = hf_router("/api")
INLINE_BELOW_NBYTES = MIB  # shorter files come inside the commit, as base64; longer ones by LFS or Xet
# What git-lfs would take: the files that models are made of. Nothing here depends on it.
FIRST_FILE = b"".join(
    b"*.%s filter=lfs diff=lfs merge=lfs -text\n" % ending
    for ending in (b"bin", b"gguf", b"h5", b"npy", b"npz", b"onnx", b"pt", b"pth", b"safetensors", b"zip")
)


def store_first_file(hub: Hub, caller: Principal, repo: models.Repo) -> Content:
    """Store the file that a new repo begins with."""
    content = Content.of(FIRST_FILE)
    store_contents(hub, caller, repo, [content])
    return content


@checks.post("/validate-yaml")
async def validate_yaml() -> Json:
    """Model cards may say what they like here."""
    return {"errors": [], "warnings": []}


@router.post("/preupload/{revision}", dependencies=[Depends(refuse_pull_requests)])
def preupload(
    *,
    namespace: Segment,
    name: Segment,
    revision: Segment,
    body: Preupload,
    hub: HubDep,
    caller: Caller,
    kind: Kind,
) -> Json:
    """How each of some files is to be sent, or not at all; the id of what is there lets clients leave out equals."""
    with hub.db.snapshot() as session:
        _, head = writable_branch(session, caller, namespace, name, kind, revision)
        there = find_files(session, head.tree_id, [file.path for file in body.files]) if head else {}
        hosted = find_rules(session, head) if body.git_ignore is None else None
        oids = git_oids_of(session, [leaf.blob_id for leaf in there.values() if leaf.nbytes < INLINE_BELOW_NBYTES])
    is_ignored = ignored_by(read_rules(hub.store, hosted) if body.git_ignore is None else body.git_ignore)
    files: list[dict[str, Any]] = []
    for file in body.files:
        mode = "regular" if file.size < INLINE_BELOW_NBYTES else "lfs"
        leaf = there.get(file.path)
        oid = None if leaf is None else leaf.sha256 if mode == "lfs" else oids.get(leaf.blob_id)
        known = {} if oid is None else {"oid": oid}
        files.append({"path": file.path, "uploadMode": mode, "shouldIgnore": is_ignored(file.path), **known})
    return {"files": files}


@router.post("/commit/{revision}", dependencies=[Depends(refuse_pull_requests)])
async def commit(
    *, namespace: Segment, name: Segment, revision: Segment, request: Request, hub: HubDep, caller: Caller, kind: Kind
) -> Json:
    """Change files on a branch; 412 when ``parentCommit`` is given and is not its head."""
    repo = await run_in_threadpool(_branch_to_commit_to, hub, caller, namespace, name, kind, revision)
    asked = await receive(hub, caller, repo, request.stream())
    full_name, digest = await run_in_threadpool(make_commit, hub, caller, namespace, name, kind, revision, asked)
    return {
        "success": True,
        "commitOid": digest,
        "commitUrl": commit_url(request, kind, full_name, digest),
        "hookOutput": "",
    }


def _branch_to_commit_to(
    hub: Hub, caller: Principal, namespace: str, name: str, kind: str, revision: str
) -> models.Repo:
    with hub.db.snapshot() as session:
        return writable_branch(session, caller, namespace, name, kind, revision)[0]
