"""A commit as Hugging Face clients send it: lines of JSON, short files inside them, of any length in all.

Lines are taken as they arrive; the files in them are stored some MiB at a time, so that memory stays bounded. Clients
send a commit again when its answer got lost: what the branch's head already is, is answered as done.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from .. import models
from ..accounts.principal import Principal
from ..commits import operations
from ..commits.queries import find_blobs
from ..context import Hub
from ..errors import HeadMoved, InvalidRequest, ParentNotHead, PathNotFound, RevisionNotFound, TooLarge
from ..names import check_path
from ..repos import operations as repos
from ..repos import queries as repo_queries
from ..schemas import AddFile, DeleteFile, NewCommit, Operation
from ..settings import MIB
from ..trees.operations import find_files, list_files
from ..uploads.whole import Content, store_contents
from .schemas import DeletedPath, Header, InlineFile, LfsFile

MAX_INLINE_NBYTES = 10 * MIB  # of one file inside a commit
_MAX_LINE_NBYTES = MAX_INLINE_NBYTES * 4 // 3 + MIB
_STORED_AT_ONCE_NBYTES = 8 * MIB
TRIES = 5


@dataclass
class Asked:
    """What a commit asks for; the content of `inline` files is stored already."""

    header: Header | None = None
    files: list[LfsFile] = field(default_factory=list)
    deleted: list[DeletedPath] = field(default_factory=list)
    deleted_folders: list[DeletedPath] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.files) + len(self.deleted) + len(self.deleted_folders)


async def receive(hub: Hub, caller: Principal, repo: models.Repo, body: AsyncIterator[bytes]) -> Asked:
    """Take the lines of a commit and store what they contain; raises InvalidRequest, TooLarge, StorageFull."""
    asked, held, held_nbytes = Asked(), list[Content](), 0
    limit = hub.settings.max_commit_operations
    async for line in _lines(body):
        content = _take(asked, line)
        if len(asked) > limit:
            raise TooLarge(f"more than {limit} operations in one commit; split it", limit=limit)
        if content is not None:
            held.append(content)
            held_nbytes += len(content.data)
        if held_nbytes >= _STORED_AT_ONCE_NBYTES:
            await run_in_threadpool(store_contents, hub, caller, repo, held)
            held, held_nbytes = [], 0
    if held:
        await run_in_threadpool(store_contents, hub, caller, repo, held)
    if asked.header is None:
        raise InvalidRequest("the commit has no line with the key 'header'")
    return asked


async def _lines(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = bytearray()
    async for chunk in body:
        start = len(rest)
        rest += chunk
        while (end := rest.find(b"\n", start)) >= 0:
            line = bytes(rest[:end])
            del rest[: end + 1]
            start = 0
            if line.strip():
                yield line
        if len(rest) > _MAX_LINE_NBYTES:
            raise TooLarge(
                f"a file inside a commit may have {MAX_INLINE_NBYTES} bytes; upload larger ones by LFS or Xet",
                limit=MAX_INLINE_NBYTES,
            )
    if rest.strip():
        yield bytes(rest)


def _take(asked: Asked, line: bytes) -> Content | None:
    """Note what a line asks for; the content it brings, if any."""
    try:
        parsed = json.loads(line)
        key, value = parsed["key"], parsed["value"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InvalidRequest('each line of a commit must be like {"key": "header", "value": {...}}') from None
    try:
        return _take_value(asked, key, value)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidRequest(f"a line {str(key)[:40]!r} of the commit: {where}: {first['msg']}") from None


def _take_value(asked: Asked, key: object, value: Mapping[str, Any]) -> Content | None:
    match key:
        case "header":
            asked.header = Header.model_validate(value)
        case "file":
            file = InlineFile.model_validate(value)
            content = _content(file)
            asked.files.append(LfsFile(path=check_path(file.path), oid=content.sha256, size=len(content.data)))
            return content
        case "lfsFile":
            asked.files.append(LfsFile.model_validate(value))
        case "deletedFile":
            asked.deleted.append(DeletedPath.model_validate(value))
        case "deletedFolder":
            asked.deleted_folders.append(DeletedPath.model_validate(value))
        case _:
            raise InvalidRequest(f"a line of a commit has the unknown key {str(key)[:40]!r}")
    return None


def _content(file: InlineFile) -> Content:
    if file.encoding == "utf-8":
        return Content.of(file.content.encode("utf-8", "surrogatepass"))
    try:
        return Content.of(base64.b64decode(file.content, validate=True))
    except (binascii.Error, ValueError):
        raise InvalidRequest(f"the content of {file.path[:200]!r} is not base64", path=file.path[:200]) from None


def writable_branch(
    session: Session, caller: Principal, namespace: str, name: str, kind: str, revision: str
) -> tuple[models.Repo, models.Commit | None]:
    """The repo and the head of a branch to commit to; no head when nothing was committed to the repo yet.

    Raises RevisionNotFound for a branch that must be made first, and what access raises.
    """
    repo = repos.writable_repo(session, caller, namespace, name, kind)
    head = repos.find_branch(session, repo, revision)
    if head is None and revision != repo.default_branch:
        raise RevisionNotFound(repo.full_name, revision[:255])
    return repo, head[1] if head else None


def make_commit(
    hub: Hub, caller: Principal, namespace: str, name: str, kind: str, branch: str, asked: Asked
) -> tuple[str, str]:
    """The name of the repo and the id of the commit that has what was asked for, made now or before.

    Raises ParentNotHead when ``parentCommit`` is not the head, and what ``commits.operations.commit`` raises.
    """
    header = asked.header
    assert header is not None
    for tries_left in reversed(range(TRIES)):
        with hub.db.snapshot() as session:
            repo, head = writable_branch(session, caller, namespace, name, kind, branch)
            if head is not None and _is_repeated(session, caller, head, asked):
                return repo.full_name, head.digest
            if header.parent_commit is not None and header.parent_commit != (head.digest if head else None):
                raise ParentNotHead(branch, head.digest if head else None, header.parent_commit)
            changes = _operations(hub, session, head, asked)
        body = NewCommit(
            branch=branch,
            parent=head.digest if head else None,
            message=header.summary,
            description=header.description,
            operations=changes,
        )
        try:
            return repo.full_name, operations.commit(hub, caller, namespace, name, body).id
        except HeadMoved as error:
            if header.parent_commit is not None:
                raise ParentNotHead(branch, error.detail["head"], header.parent_commit) from None
            if not tries_left:
                raise
    raise AssertionError("unreachable")


def _is_repeated(session: Session, caller: Principal, head: models.Commit, asked: Asked) -> bool:
    """Whether `head` is what these changes make of it: they were committed before, or change nothing.

    Deletions of what is not there are taken for a repetition only by the words of the commit, and so is a parent that
    is not the head any more: otherwise they are mistakes that the caller should hear of.
    """
    header = asked.header
    assert header is not None
    same_words = (header.summary, header.description, caller.name) == (head.message, head.description, head.author)
    parent = repo_queries.find_commit_by_row(session, head.parent_id)
    on_parent = parent is not None and header.parent_commit == parent.digest
    if header.parent_commit not in {None, head.digest} and not (on_parent and same_words):
        return False
    if (asked.deleted or asked.deleted_folders) and not same_words:
        return False
    there = find_files(session, head.tree_id, [*_paths(asked.files), *_paths(asked.deleted)])
    if any(path in there for path in _paths(asked.deleted)):
        return False
    if any(list_files(session, head.tree_id, _folder(gone), None, 1) for gone in asked.deleted_folders):
        return False
    return all(file.path in there and there[file.path].sha256 == file.oid for file in asked.files)


def _paths(asked: Sequence[LfsFile] | Sequence[DeletedPath]) -> list[str]:
    return [each.path for each in asked]


def _folder(deleted: DeletedPath) -> str:
    return check_path(deleted.path.rstrip("/"))


def _operations(hub: Hub, session: Session, head: models.Commit | None, asked: Asked) -> list[Operation]:
    unsized = [file.oid for file in asked.files if file.size is None]
    sizes = {sha256: blob.nbytes for sha256, blob in find_blobs(session, unsized).items()}
    changes: dict[str, Operation] = {}
    for folder in asked.deleted_folders:
        for path in _files_below(hub, session, head, folder):
            changes[path] = DeleteFile(op="delete", path=path)
    for gone in asked.deleted:
        changes[gone.path] = DeleteFile(op="delete", path=gone.path)
    for file in asked.files:
        nbytes = sizes.get(file.oid, 0) if file.size is None else file.size
        changes[file.path] = AddFile(op="add", path=file.path, sha256=file.oid, nbytes=nbytes)
    return list(changes.values())


def _files_below(hub: Hub, session: Session, head: models.Commit | None, deleted: DeletedPath) -> list[str]:
    folder, limit = _folder(deleted), hub.settings.max_commit_operations
    found = list_files(session, head.tree_id, folder, None, limit + 1) if head is not None else []
    if len(found) > limit:
        raise TooLarge(f"{folder!r} has more than {limit} files; delete its folders one by one", limit=limit)
    if not found or found[0][0] == folder:
        raise PathNotFound(folder, head.digest if head else "main")
    return [path for path, _ in found]
