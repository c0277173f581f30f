"""Make a revision of the upstream known here.

    describe   which commit the revision is                                     one request
    list       the files of the commit, unless it is known already              a request per 1000 files
    short      files of which the upstream tells only git's SHA-1, and that the repo does not hold: fetched, compared
               with that, stored
    known      one transaction: repo, blobs, tree, commit under the upstream's id, ref

A crash before the transaction leaves objects that no row names. Files of which the upstream tells the SHA-256 are known
by name from then on and fetched when somebody reads them (``fetches.py``).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from ..accounts.queries import ensure_namespace, record
from ..blobs.files import store_object
from ..blobs.git import git_blob_id
from ..blobs.keys import UPSTREAM_ORIGIN, new_raw_key
from ..blobs.queries import adopt_raw, note_git_oids
from ..clock import now
from ..commits.queries import add_commit
from ..context import Hub
from ..errors import InvalidPath, UpstreamWrong
from ..models import Blob, Commit, Repo
from ..names import DEFAULT_BRANCH, check_path, check_ref_name, is_commit_id
from ..repos.queries import add_repo, find_commit, find_repo, set_visibility
from ..settings import MIB
from ..trees.operations import store_edited
from ..trees.pages import Changes, Leaf
from . import queries
from .address import Address
from .keeping import hold
from .schemas import Described, Listed
from .upstream import NotThere, Upstream

MAX_SHORT_NBYTES = 10 * MIB  # git on the Hugging Face Hub takes no longer files than that
SHORT_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class _File:
    """A file of the upstream's commit; `key` and `git_oid` are of the bytes, None when they were not fetched now."""

    path: str
    sha256: str
    nbytes: int
    key: str | None = None
    git_oid: str | None = None


async def make_known(hub: Hub, upstream: Upstream, address: Address, revision: str, via: str) -> None:
    """Have the revision here as it is on the upstream now; raises NotThere, UpstreamUnavailable, UpstreamWrong."""
    described = await upstream.describe(address, revision, via)
    ref = None if is_commit_id(revision) else check_ref_name(revision)
    kind = "tag" if ref not in {None, DEFAULT_BRANCH} and await upstream.is_tag(address, revision) else "branch"
    if await run_in_threadpool(_move_ref, hub, address, described, kind, ref):
        return
    listed = await upstream.files(address, described.sha, hub.settings.max_commit_operations)
    if not listed:
        raise NotThere(f"{address.full_name} has no files")
    files = await _fetched_if_short(hub, upstream, address, described.sha, listed)
    await run_in_threadpool(_keep, hub, address, described, files, kind, ref)


def _move_ref(hub: Hub, address: Address, described: Described, kind: str, ref: str | None) -> bool:
    """Whether the commit is known already; then the ref is at it from now on."""

    def move(session: Session) -> bool:
        repo = find_repo(session, address.namespace, address.name)
        known = find_commit(session, repo.id, described.sha) if repo is not None else None
        if repo is None or known is None or repo.mirrored_at is None:
            return False
        _compared(session, repo, described, known, kind, ref)
        return True

    return hub.db.run(move)


def _compared(session: Session, repo: Repo, described: Described, commit: Commit, kind: str, ref: str | None) -> None:
    """The ref is at the commit; a repo that was closed on the upstream since the last time is closed here, too."""
    if ref is not None:
        queries.set_ref(session, repo.id, kind, ref, commit.id)
    if repo.upstream_open and not described.is_open:
        set_visibility(session, repo.id, "private")
        record(session, "", "repo.change", repo.full_name, visibility="private")
    queries.note_compared(session, repo.id, is_open=described.is_open)


async def _fetched_if_short(
    hub: Hub, upstream: Upstream, address: Address, commit: str, listed: Sequence[Listed]
) -> list[_File]:
    slots = asyncio.Semaphore(SHORT_AT_ONCE)

    async def fetched(entry: Listed) -> _File:
        if entry.lfs is not None:
            return _File(entry.path, entry.lfs.oid, entry.lfs.size)
        if entry.oid in held:
            return _File(entry.path, held[entry.oid], entry.size)
        async with slots:
            content = await _short(upstream, address, commit, entry)
            return await asyncio.to_thread(_stored, hub, entry, content)

    for entry in listed:
        _check(hub, entry)
    held = await run_in_threadpool(_held, hub, address, [entry.oid for entry in listed if entry.lfs is None])
    tasks = [asyncio.create_task(fetched(entry)) for entry in listed]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:  # of those that were not needed any more
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _held(hub: Hub, address: Address, oids: Sequence[str]) -> dict[str, str]:
    """The SHA-256 of what the repo holds, by what git calls it."""
    with hub.db.snapshot() as session:
        repo = find_repo(session, address.namespace, address.name)
        return {} if repo is None else queries.held_by_git_oid(session, repo.id, oids)


def _check(hub: Hub, entry: Listed) -> None:
    try:
        check_path(entry.path)
    except InvalidPath as error:
        raise UpstreamWrong(f"the upstream has a file that this hub cannot have: {error.message}") from None
    limit = MAX_SHORT_NBYTES if entry.lfs is None else hub.settings.max_file_nbytes
    nbytes = entry.size if entry.lfs is None else entry.lfs.size
    if nbytes > limit:
        raise UpstreamWrong(f"{entry.path[:200]!r} has {nbytes} bytes on the upstream, at most {limit} are taken")


async def _short(upstream: Upstream, address: Address, commit: str, entry: Listed) -> bytes:
    content = bytearray()
    try:
        async with upstream.open(address, commit, entry.path) as chunks:
            async for chunk in chunks:
                content += chunk
                if len(content) > entry.size:
                    break
    except NotThere:
        raise UpstreamWrong(f"the upstream lists {entry.path[:200]!r} and does not have it") from None
    received = bytes(content)
    if len(received) != entry.size or git_blob_id(received) != entry.oid:
        raise UpstreamWrong(f"the upstream sends other bytes for {entry.path[:200]!r} than it lists ({entry.oid})")
    return received


def _stored(hub: Hub, entry: Listed, content: bytes) -> _File:
    sha256 = hashlib.sha256(content).hexdigest()
    key = new_raw_key(sha256, UPSTREAM_ORIGIN)
    store_object(hub.store, key, content)
    return _File(entry.path, sha256, len(content), key, entry.oid)


def _keep(hub: Hub, address: Address, described: Described, files: Sequence[_File], kind: str, ref: str | None) -> None:
    def keep(session: Session) -> list[str]:
        repo = _repo(session, address, described)
        if repo is None:
            return [file.key for file in files if file.key]
        fetched = [(file.sha256, file.nbytes, file.key) for file in files if file.key]
        unneeded = [key for sha256, nbytes, key in fetched if not adopt_raw(session, sha256, nbytes, key)]
        note_git_oids(session, {file.sha256: file.git_oid for file in files if file.git_oid})
        blobs = _blobs(session, files)
        _hold_or_await(hub, session, repo, files, blobs)
        changes: Changes = {
            file.path: Leaf(file.path, blobs[file.sha256].id, file.sha256, file.nbytes) for file in files
        }
        try:
            tree_id, _ = store_edited(session, repo.id, None, changes)
        except InvalidPath as error:
            raise UpstreamWrong(
                f"the upstream lists files that cannot lie beside each other: {error.message}"
            ) from None
        commit = find_commit(session, repo.id, described.sha)
        commit = commit or add_commit(session, _commit(hub, repo, described, tree_id))
        _compared(session, repo, described, commit, kind, ref)
        return unneeded

    for key in hub.db.run(keep):  # run again when somebody else keeps the same at this moment
        hub.store.delete(key)


def _repo(session: Session, address: Address, described: Described) -> Repo | None:
    """The mirrored repo, made if need be; None when somebody made a repo of that name here meanwhile.

    What not everybody may read on the upstream, not everybody may read here: an admin decides who else.
    """
    found = find_repo(session, address.namespace, address.name)
    if found is not None:
        return found if found.mirrored_at is not None and found.kind == address.kind else None
    ensure_namespace(session, address.namespace, "mirror")
    visibility = "public" if described.is_open else "private"
    repo = add_repo(session, address.namespace, address.name, visibility, address.kind, DEFAULT_BRANCH)
    queries.note_compared(session, repo.id, is_open=described.is_open)
    record(session, "", "repo.mirror", repo.full_name, visibility=visibility)
    return repo


def _blobs(session: Session, files: Sequence[_File]) -> dict[str, Blob]:
    sizes = {file.sha256: file.nbytes for file in files}
    queries.add_remote_blobs(session, list(sizes.items()))
    blobs = queries.blobs_of(session, list(sizes))
    for sha256, nbytes in sizes.items():
        if blobs[sha256].nbytes != nbytes:
            raise UpstreamWrong(f"the upstream says {nbytes} bytes of SHA-256 {sha256}, which cannot be")
    return blobs


def _hold_or_await(hub: Hub, session: Session, repo: Repo, files: Sequence[_File], blobs: dict[str, Blob]) -> None:
    """Hold what was fetched and what everybody may read here anyway; all else is awaited."""
    fetched = {blobs[file.sha256].id for file in files if file.key}
    paths = {blobs[file.sha256].id: file.path for file in files}
    held = queries.held_by(session, repo.id, sorted(paths))
    here = fetched | queries.public_among(session, sorted(paths.keys() - held - fetched))
    by_id = {blob.id: blob for blob in blobs.values()}
    hold(hub, session, repo, [(by_id[blob_id], paths[blob_id]) for blob_id in sorted(here - held)])
    queries.await_blobs(session, repo.id, paths.keys() - held - here)


def _commit(hub: Hub, repo: Repo, described: Described, tree_id: int) -> Commit:
    """The upstream's commit without those before it."""
    host = urlsplit(hub.settings.upstream).netloc
    return Commit(
        repo_id=repo.id,
        digest=described.sha,
        parent_id=None,
        tree_id=tree_id,
        author=repo.namespace,
        message=f"As on {host}",
        description="",
        created_at=described.last_modified or now(),
    )
