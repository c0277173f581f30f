"""ls, rm and undelete."""

from __future__ import annotations

import dataclasses
import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from freebits.cli.terminal import show, size, table
from freebits.cli.transfers import connect
from freebits.errors import NotFound, UsageError

if TYPE_CHECKING:
    from freebits.client import Hub


def ls(options: Namespace) -> int:
    """`freebits ls [NAMESPACE[/NAME]]`"""
    with connect(options) as hub:
        if options.deleted:
            _list_deleted(hub, options)
        elif not options.repo or "/" not in options.repo:
            _list_repos(hub, options)
        elif options.refs:
            _list_refs(hub, options)
        else:
            _list_files(hub, options)
    return 0


def rm(options: Namespace) -> int:
    """`freebits rm NAMESPACE/NAME PATH...`, or with --branch, --tag or --repo"""
    target = _target(options)
    if bool(target) == bool(options.paths):
        raise UsageError("name files to remove, or one of --branch, --tag, --repo")
    if target and not options.yes:
        _ask(f"remove {target}?")
    with connect(options) as hub:
        if options.whole_repo:
            hub.delete_repo(options.repo)
        elif target:
            kind = "branch" if options.branch else "tag"
            hub.delete_ref(options.repo, kind, options.branch or options.tag)
        else:
            return _remove_files(hub, options)
    show(options, {"repo": options.repo, "removed": target}, f"removed {target}")
    return 0


def undelete(options: Namespace) -> int:
    """`freebits undelete NAMESPACE/NAME [--as NAME]`, or with --branch or --tag"""
    kind = "branch" if options.branch else "tag"
    with connect(options) as hub:
        if options.branch or options.tag:
            ref = hub.undelete_ref(options.repo, kind, options.branch or options.tag)
            show(options, dataclasses.asdict(ref), f"{kind} {ref.name} of {options.repo} is back at {ref.commit}")
        else:
            repo = hub.undelete_repo(options.repo, options.new_name)
            show(options, dataclasses.asdict(repo), f"{repo.name} is back")
    return 0


def _list_deleted(hub: Hub, options: Namespace) -> None:
    if options.repo and "/" in options.repo:
        refs = hub.deleted_refs(options.repo)
        rows = [(ref.type, ref.name, ref.commit, ref.deleted_at, ref.by) for ref in refs]
        show(options, [dataclasses.asdict(ref) for ref in refs], table(rows) if rows else "")
        return
    found = hub.deleted_repos(options.repo)
    head = ("deleted", "can come back until", "name")
    lines = [head, *((repo.deleted_at, repo.restorable_until, repo.name) for repo in found)]
    show(options, [dataclasses.asdict(repo) for repo in found], table(lines) if found else "")


def _list_repos(hub: Hub, options: Namespace) -> None:
    found = hub.repos(options.repo)
    rows = [(repo.name, repo.visibility, repo.head[:12] if repo.head else "empty") for repo in found]
    show(options, [dataclasses.asdict(repo) for repo in found], table(rows) if rows else "")


def _list_refs(hub: Hub, options: Namespace) -> None:
    refs = hub.refs(options.repo)
    rows = [(ref.type, ref.name, ref.commit) for ref in refs]
    show(options, [dataclasses.asdict(ref) for ref in refs], table(rows) if rows else "")


def _list_files(hub: Hub, options: Namespace) -> None:
    try:
        tree = hub.files(options.repo, options.revision)
    except NotFound as absent:
        # A repo without any commit has no branch yet; that is an empty listing, not an error.
        if absent.code != "REVISION_NOT_FOUND" or hub.refs(options.repo):
            raise
        show(options, {"repo": options.repo, "commit": None, "files": []}, "")
        return
    entries = [tree.files[path] for path in sorted(tree.files)]
    rows = [(size(e.nbytes), size(e.stored_nbytes), e.state, e.path) for e in entries]
    facts = {"repo": options.repo, "commit": tree.commit, "files": [dataclasses.asdict(e) for e in entries]}
    show(options, facts, table([("size", "stored", "state", "path"), *rows], right=frozenset({0, 1})))


def _remove_files(hub: Hub, options: Namespace) -> int:
    message = options.message or f"Remove {', '.join(options.paths)}"
    commit = hub.delete_files(options.repo, options.paths, options.revision, message)
    facts = {"repo": options.repo, "removed": options.paths, "commit": commit}
    show(options, facts, f"removed {', '.join(options.paths)}: {options.repo} is at {commit}")
    return 0


def _target(options: Namespace) -> str | None:
    if options.whole_repo:
        return f"the repo {options.repo}"
    if options.branch:
        return f"the branch {options.branch} of {options.repo}"
    return f"the tag {options.tag} of {options.repo}" if options.tag else None


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Nobody is here to answer; give --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise UsageError("nothing removed")
