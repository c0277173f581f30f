"""Repos, refs, and what a revision means."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from ..accounts.principal import ADMIN, READ, WRITE, Principal, require_namespace, require_read, require_write
from ..accounts.queries import ensure_namespace, record
from ..clock import in_seconds
from ..context import Hub
from ..errors import (
    DefaultBranchInUse,
    InvalidName,
    MirrorReadOnly,
    RefExists,
    RepoExists,
    RepoNotFound,
    RevisionNotFound,
)
from ..models import Commit, Ref, Repo
from ..names import DEFAULT_BRANCH, check_not_reserved, check_ref_name, check_segment, is_commit_id
from ..quotas.operations import charge_again, release
from ..settings import Settings
from . import queries


def readable_repo(session: Session, caller: Principal, namespace: str, name: str, kind: str | None = None) -> Repo:
    """The repo, if the caller may read it and it is of that kind; raises RepoNotFound otherwise."""
    repo = _find(session, namespace, name, kind)
    require_read(caller, repo)
    return repo


def writable_repo(
    session: Session, caller: Principal, namespace: str, name: str, kind: str | None = None, *, wanted: str = WRITE
) -> Repo:
    """The repo, if the caller may write to it (or ``admin`` it); raises RepoNotFound, Unauthenticated, Forbidden.

    Nobody writes to a mirrored repo (MirrorReadOnly); admins may delete it, or change who reads it.
    """
    repo = _find(session, namespace, name, kind)
    require_write(caller, repo, wanted=wanted)
    if repo.mirrored_at is not None and wanted == WRITE:
        raise MirrorReadOnly(repo.full_name)
    return repo


def _find(session: Session, namespace: str, name: str, kind: str | None) -> Repo:
    try:
        found = queries.find_repo(session, check_segment(namespace), check_segment(name))
    except InvalidName:
        found = None
    if found is None or kind not in {None, found.kind}:
        raise RepoNotFound(f"{namespace[:96]}/{name[:96]}")
    return found


def create_repo(
    session: Session, caller: Principal, namespace: str, name: str, visibility: str, kind: str = "model"
) -> Repo:
    """A new repo in a namespace of the caller's (checked by the endpoint); raises RepoExists, InvalidName."""
    check_not_reserved(namespace)
    existing = queries.find_repo(session, namespace, name)
    if existing is not None:
        raise RepoExists(f"there is a repo {existing.full_name!r} already", repo=existing)
    ensure_namespace(session, namespace, "open")
    repo = queries.add_repo(session, namespace, name, visibility, kind, DEFAULT_BRANCH)
    record(session, caller.name, "repo.create", repo.full_name, visibility=visibility)
    return repo


def change_visibility(session: Session, caller: Principal, repo: Repo, visibility: str) -> None:
    """Make a repo of the caller's public or private."""
    queries.set_visibility(session, repo.id, visibility)
    record(session, caller.name, "repo.change", repo.full_name, visibility=visibility)


def move_repo(session: Session, settings: Settings, caller: Principal, repo: Repo, namespace: str, name: str) -> None:
    """Give a repo another name, and another namespace to pay for it; the caller may do both (checked by the endpoint).

    Raises RepoExists, QuotaExceeded, InvalidName, MirrorReadOnly.
    """
    was = repo.full_name
    if repo.mirrored_at is not None:
        raise MirrorReadOnly(was)
    check_not_reserved(namespace)
    if queries.find_repo(session, namespace, name) is not None:
        raise RepoExists(f"there is a repo {namespace}/{name} already")
    ensure_namespace(session, namespace, "open")
    release(session, repo)
    repo.namespace, repo.name = namespace, name
    session.flush()
    charge_again(session, settings, repo)
    record(session, caller.name, "repo.move", repo.full_name, was=was)


def delete_repo(session: Session, caller: Principal, repo: Repo) -> None:
    """Delete a repo softly: it is invisible and its name free at once, `undelete_repo` brings it back for a time."""
    record(session, caller.name, "repo.delete", repo.full_name, repo_id=repo.id)
    release(session, repo)
    queries.mark_deleted(session, repo)


def undelete_repo(hub: Hub, caller: Principal, namespace: str, name: str, new_name: str | None) -> Repo:
    """Bring back the repo of this name that was deleted last, under `new_name` if given.

    Raises RepoNotFound when there is none that the caller may know of, Forbidden when they may not have deleted it,
    RepoExists when the name is taken, QuotaExceeded, InvalidName.
    """
    since = in_seconds(-hub.settings.delete_grace_s)
    with hub.db.transaction() as session:
        repo = _find_deleted(session, caller, namespace, name, since)
        wanted = check_segment(new_name, "repo name") if new_name is not None else name
        if queries.find_repo(session, namespace, wanted) is not None:
            raise RepoExists(
                f"there is another repo {namespace}/{wanted} now; bring this one back under a new name "
                f'(`freebits undelete {namespace}/{name} --as NEWNAME`, or {{"as": "NEWNAME"}})'
            )
        if not queries.unmark_deleted(session, repo.id, wanted, since):
            raise RepoNotFound(f"{namespace}/{name}")
        session.refresh(repo)
        charge_again(session, hub.settings, repo)
        record(session, caller.name, "repo.undelete", repo.full_name, repo_id=repo.id, was=f"{namespace}/{name}")
    return repo


def _find_deleted(session: Session, caller: Principal, namespace: str, name: str, since: datetime) -> Repo:
    try:
        found = queries.find_deleted_repo(session, check_segment(namespace), check_segment(name), since)
    except InvalidName:
        found = None
    if found is None or not caller.may(READ, namespace, name):
        raise RepoNotFound(f"{namespace[:96]}/{name[:96]}")
    require_namespace(caller, namespace, name, wanted=ADMIN)
    return found


def resolve_revision(session: Session, repo: Repo, revision: str) -> Commit:
    """The commit that a branch, tag or commit id names; raises RevisionNotFound."""
    if is_commit_id(revision):
        commit = queries.find_commit(session, repo.id, revision)
    else:
        found = queries.find_ref(session, repo.id, revision)
        commit = found[1] if found else None
    if commit is None:
        raise RevisionNotFound(repo.full_name, revision[:255])
    return commit


def create_ref(session: Session, caller: Principal, repo: Repo, kind: str, name: str, target: str) -> Commit:
    """A new branch or tag at a revision; raises InvalidName, RefExists, RevisionNotFound."""
    check_ref_name(name)
    commit = resolve_revision(session, repo, target)
    taken = queries.find_ref(session, repo.id, name)
    if taken is not None:
        raise RefExists(
            f"{repo.full_name} has a {taken[0].kind} {name!r} already",
            type=taken[0].kind,
            commit=taken[1].digest,
        )
    queries.add_ref(session, repo.id, kind, name, commit.id)
    record(session, caller.name, "ref.create", repo.full_name, type=kind, name=name, commit=commit.digest)
    return commit


def delete_ref(session: Session, caller: Principal, repo: Repo, kind: str, name: str) -> None:
    """Remove a branch or tag; raises RevisionNotFound, DefaultBranchInUse."""
    if kind == "branch" and name == repo.default_branch:
        raise DefaultBranchInUse(f"{name!r} is the default branch of {repo.full_name} and cannot be deleted")
    commit = queries.delete_ref(session, repo.id, kind, name)
    if commit is None:
        raise RevisionNotFound(repo.full_name, name[:255])
    record(session, caller.name, "ref.delete", repo.full_name, type=kind, name=name, commit=commit)


def find_branch(session: Session, repo: Repo, name: str) -> tuple[Ref, Commit] | None:
    """A branch and its head; None when it has not been made; raises RefExists when the name is a tag's."""
    found = queries.find_ref(session, repo.id, check_ref_name(name))
    if found is None:
        return None
    ref, commit = found
    if ref.kind != "branch":
        raise RefExists(f"{name!r} is a tag of {repo.full_name}; tags do not move", type="tag", commit=commit.digest)
    return ref, commit
