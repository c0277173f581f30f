"""Flows about repos: what exists, what is in it, deletion."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from freebits import wire
from freebits.errors import Conflict, HeadMoved, NotFound, ProtocolError
from freebits.steps import Flow

T = TypeVar("T")
DELETE_TRIES = 8


@dataclass(frozen=True, slots=True)
class Tree:
    """The files of one commit by path; `commit` is None for a branch that does not exist yet, `kind` the repo's."""

    commit: str | None
    files: Mapping[str, wire.Entry]
    kind: str = "model"

    def digest(self, path: str) -> str | None:
        """SHA-256 of the file at `path`, None when there is none."""
        entry = self.files.get(path)
        return entry.sha256 if entry else None


def whoami() -> Flow[wire.Identity]:
    """Who the token belongs to."""
    [reply] = yield [wire.whoami()]
    return wire.parse(wire.Identity, reply)


def ask(request: wire.Request) -> Flow[Any]:
    """The decoded JSON answer to one request."""
    [reply] = yield [request]
    return reply


def list_repos(namespace: str | None = None) -> Flow[list[wire.Repo]]:
    """All repos the caller may see."""
    return (yield from _all_pages(wire.Repo, lambda after: wire.list_repos(namespace, after)))


def list_refs(repo: str) -> Flow[list[wire.Ref]]:
    """All branches and tags of a repo."""
    return (yield from _all_pages(wire.Ref, lambda after: wire.list_refs(repo, after)))


def read_tree(repo: str, revision: str) -> Flow[Tree]:
    """All files of a revision. NotFound when the repo or the revision does not exist."""
    commit, files, after = None, {}, None
    while True:
        [reply] = yield [wire.list_tree(repo, commit or revision, after)]
        if not isinstance(reply, dict) or "commit" not in reply:
            raise ProtocolError("the hub's tree lacks its commit; check that the endpoint is a freebits hub")
        # Later pages are asked of the commit, so that a push in between cannot mix two revisions.
        commit = _digest(reply["commit"], 40)
        page = {"items": [item for item in reply.get("items", []) if item.get("type", "file") == "file"]}
        for entry in wire.parse_items(wire.Entry, page)[0]:
            _digest(entry.sha256, 64)
            files[entry.path] = entry
        after = reply.get("next")
        if after is None:
            return Tree(commit, files, str(reply.get("kind", "model")))


def _digest(text: object, length: int) -> str:
    """A commit or SHA-256 as the hub tells it; files are named by them, so nothing else may pass."""
    if not isinstance(text, str) or not re.fullmatch(rf"[0-9a-f]{{{length}}}", text):
        raise ProtocolError(f"the hub tells {str(text)[:80]!r} where {length} hex digits belong; do not trust this hub")
    return text


def create_if_absent(repo: str, visibility: str) -> Flow[bool]:
    """Create a repo; False when somebody else just did."""
    try:
        yield [wire.create_repo(repo, visibility)]
    except Conflict:
        return False
    return True


def delete_repo(repo: str) -> Flow[None]:
    """Delete a repo with all its revisions."""
    yield [wire.delete_repo(repo)]


def list_deleted_repos(namespace: str | None = None) -> Flow[list[wire.DeletedRepo]]:
    """Deleted repos that the caller can bring back."""
    return (yield from _all_pages(wire.DeletedRepo, lambda after: wire.list_deleted_repos(namespace, after)))


def undelete_repo(repo: str, new_name: str | None) -> Flow[wire.Repo]:
    """Bring back the repo of this name that was deleted last."""
    [reply] = yield [wire.undelete_repo(repo, new_name)]
    return wire.parse(wire.Repo, reply)


def list_deleted_refs(repo: str) -> Flow[list[wire.DeletedRef]]:
    """Branches and tags that were deleted lately, newest first."""
    return (yield from _all_pages(wire.DeletedRef, lambda after: wire.list_deleted_refs(repo, after)))


def undelete_ref(repo: str, kind: str, name: str) -> Flow[wire.Ref]:
    """Create a branch or tag again at the commit it was at when it was deleted last; NotFound when it was not."""
    deleted = yield from list_deleted_refs(repo)
    last = next((ref for ref in deleted if (ref.type, ref.name) == (kind, name)), None)
    if last is None:
        raise NotFound(f"no {kind} {name!r} of {repo} was deleted lately", code="REVISION_NOT_FOUND", status=404)
    [reply] = yield [wire.create_ref(repo, kind, name, last.commit)]
    return wire.parse(wire.Ref, reply)


def delete_ref(repo: str, kind: str, name: str) -> Flow[None]:
    """Delete a branch or a tag; `kind` is "branch" or "tag"."""
    yield [wire.delete_ref(repo, kind, name)]


def delete_files(repo: str, branch: str, paths: Sequence[str], message: str) -> Flow[str]:
    """Commit the removal of files, or of folders when a path ends in "/"; the new commit's id."""
    for tries_left in reversed(range(DELETE_TRIES)):
        tree = yield from read_tree(repo, branch)
        gone = _named(tree, paths)
        operations = [{"op": "delete", "path": path} for path in gone]
        try:
            [reply] = yield [wire.commit(repo, branch, tree.commit, message=message, operations=operations)]
            return wire.parse(wire.Commit, reply).id
        except HeadMoved:
            if not tries_left:
                raise
    raise AssertionError("the loop returns or raises")


def _named(tree: Tree, paths: Sequence[str]) -> list[str]:
    found: set[str] = set()
    for path in paths:
        matches = {p for p in tree.files if p == path or (path.endswith("/") and p.startswith(path))}
        if not matches:
            raise NotFound(f"no file {path!r} in this revision", code="PATH_NOT_FOUND", status=404)
        found |= matches
    return sorted(found)


def _all_pages(kind: type[T], request: Callable[[str | None], wire.Request]) -> Flow[list[T]]:
    items: list[T] = []
    after: str | None = None
    while True:
        reply: Any
        [reply] = yield [request(after)]
        page, after = wire.parse_items(kind, reply)
        items += page
        if after is None:
            return items
