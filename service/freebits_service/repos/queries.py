"""Statements over repos and refs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, delete, func, select, tuple_, union, update
from sqlalchemy.orm import Session

from ..accounts.principal import Principal, private_of
from ..clock import now
from ..db import batches
from ..models import Audit, Commit, Ref, Repo


def find_repo(session: Session, namespace: str, name: str) -> Repo | None:
    """The repo of this name that has not been deleted."""
    statement = select(Repo).where(Repo.namespace == namespace, Repo.name == name, Repo.deleted_at.is_(None))
    return session.scalar(statement)


def find_repos(session: Session, full_names: Sequence[str]) -> Sequence[Repo]:
    """Those of the repos that there are, by names ``namespace/name``."""
    found: list[Repo] = []
    for some in batches([tuple(name.split("/", 1)) for name in full_names]):
        found += session.scalars(select(Repo).where(tuple_(Repo.namespace, Repo.name).in_(some)))
    return found


def add_repo(session: Session, namespace: str, name: str, visibility: str, kind: str, default_branch: str) -> Repo:
    """A new repo without commits; the name must be free."""
    repo = Repo(
        namespace=namespace,
        name=name,
        visibility=visibility,
        kind=kind,
        default_branch=default_branch,
        created_at=now(),
    )
    session.add(repo)
    session.flush()
    return repo


def set_visibility(session: Session, repo_id: int, visibility: str) -> None:
    """Make a repo public or private."""
    session.execute(update(Repo).where(Repo.id == repo_id).values(visibility=visibility))


def mark_deleted(session: Session, repo: Repo) -> None:
    """Delete a repo softly: nobody finds it any more and its name is free; the rows stay for the grace period."""
    repo.name, repo.deleted_name, repo.deleted_at = f"~{repo.id}", repo.name, now()
    session.flush()


def unmark_deleted(session: Session, repo_id: int, name: str, since: datetime) -> bool:
    """Bring back a repo deleted after `since` under a free name; False when it is gone for good."""
    statement = (
        update(Repo)
        .where(Repo.id == repo_id, Repo.deleted_at > since, Repo.purging.is_(False))
        .values(name=name, deleted_name=None, deleted_at=None)
        .returning(Repo.id)
    )
    return session.scalar(statement) is not None


def find_deleted_repo(session: Session, namespace: str, name: str, since: datetime) -> Repo | None:
    """The repo of this name that was deleted last, after `since`."""
    statement = (
        select(Repo)
        .where(Repo.namespace == namespace, Repo.deleted_name == name)
        .where(Repo.deleted_at > since, Repo.purging.is_(False))
        .order_by(Repo.deleted_at.desc(), Repo.id.desc())
        .limit(1)
    )
    return session.scalar(statement)


def list_deleted_repos(
    session: Session,
    since: datetime,
    *,
    caller: Principal,
    namespace: str | None,
    after: tuple[str, str, int] | None,
    limit: int,
) -> Sequence[Repo]:
    """Repos deleted after `since` that the caller could bring back, by the names they had."""
    statement = (
        select(Repo)
        .where(Repo.deleted_at > since, Repo.purging.is_(False), private_of(caller))
        .order_by(Repo.namespace, Repo.deleted_name, Repo.id)
        .limit(limit)
    )
    if namespace is not None:
        statement = statement.where(Repo.namespace == namespace)
    if after is not None:
        statement = statement.where(tuple_(Repo.namespace, Repo.deleted_name, Repo.id) > tuple_(*after))
    return session.scalars(statement).all()


def list_repos(
    session: Session,
    caller: Principal,
    *,
    namespace: str | None,
    after: tuple[str, str] | None,
    limit: int,
    kind: str | None = None,
    search: str = "",
) -> Sequence[tuple[Repo, Commit | None]]:
    """Repos in order of their names with the commit of their default branch, those the caller may see.

    The page is put together from the first public ones and the first ones that are the caller's, each a walk along
    an index: however many private repos of others lie between, none of them is looked at. With a `kind` or words to
    `search` for in names the walks are longer, by what does not match.
    """

    def page(condition: ColumnElement[bool]) -> Select[int]:
        kept = select(Repo.id).where(condition, Repo.deleted_at.is_(None))
        some = kept.order_by(Repo.namespace, Repo.name).limit(limit)
        if namespace is not None:
            some = some.where(Repo.namespace == namespace)
        if kind is not None:
            some = some.where(Repo.kind == kind)
        for word in search.lower().split():
            some = some.where(func.lower(Repo.namespace + "/" + Repo.name).contains(word, autoescape=True))
        return some if after is None else some.where(tuple_(Repo.namespace, Repo.name) > tuple_(*after))

    public, private = page(Repo.visibility == "public").subquery(), page(private_of(caller)).subquery()
    statement = (
        select(Repo, Commit)
        .outerjoin(Ref, (Ref.repo_id == Repo.id) & (Ref.name == Repo.default_branch))
        .outerjoin(Commit, Commit.id == Ref.commit_id)
        .where(Repo.id.in_(union(select(public.c.id), select(private.c.id))))
        .order_by(Repo.namespace, Repo.name)
        .limit(limit)
    )
    return [(repo, head) for repo, head in session.execute(statement)]


def find_head(session: Session, repo: Repo) -> Commit | None:
    """The commit of the default branch."""
    found = find_ref(session, repo.id, repo.default_branch)
    return found[1] if found else None


def find_ref(session: Session, repo_id: int, name: str) -> tuple[Ref, Commit] | None:
    """A branch or tag and the commit it is at."""
    statement = select(Ref, Commit).join(Commit, Commit.id == Ref.commit_id)
    found = session.execute(statement.where(Ref.repo_id == repo_id, Ref.name == name)).one_or_none()
    return None if found is None else (found[0], found[1])


def list_refs(session: Session, repo_id: int, after: str | None, limit: int) -> Sequence[tuple[Ref, str]]:
    """Refs of a repo by name, those behind `after`, each with its commit id."""
    statement = select(Ref, Commit.digest).join(Commit, Commit.id == Ref.commit_id).where(Ref.repo_id == repo_id)
    if after is not None:
        statement = statement.where(Ref.name > after)
    rows = session.execute(statement.order_by(Ref.name).limit(limit))
    return [(ref, digest) for ref, digest in rows]


def add_ref(session: Session, repo_id: int, kind: str, name: str, commit_id: int) -> None:
    """A new ref; the unique name decides between two who make it at once (IntegrityError)."""
    session.add(Ref(repo_id=repo_id, kind=kind, name=name, commit_id=commit_id))
    session.flush()


def move_ref(session: Session, repo_id: int, name: str, *, expected_id: int, commit_id: int) -> bool:
    """Compare and set: move the branch if it is still at `expected_id`."""
    statement = (
        update(Ref)
        .where(Ref.repo_id == repo_id, Ref.name == name, Ref.commit_id == expected_id)
        .values(commit_id=commit_id)
        .returning(Ref.id)
    )
    return session.scalar(statement) is not None


def delete_ref(session: Session, repo_id: int, kind: str, name: str) -> str | None:
    """Remove a ref; the commit it was at, None when there is no such ref."""
    statement = delete(Ref).where(Ref.repo_id == repo_id, Ref.kind == kind, Ref.name == name).returning(Ref.commit_id)
    row = session.scalar(statement)
    return None if row is None else session.get_one(Commit, row).digest


def list_ref_deletions(
    session: Session, repo: Repo, since: datetime, after: int | None, limit: int
) -> Sequence[tuple[Audit, str | None]]:
    """Notes of branches and tags deleted after `since`, newest first, below note `after`.

    With each the commit it was at, None when it is none of this repo's (an earlier repo had the same name).
    """
    statement = (
        select(Audit, Commit.digest)
        .outerjoin(Commit, (Commit.repo_id == repo.id) & (Commit.digest == Audit.detail["commit"].as_string()))
        .where(Audit.repo == repo.full_name, Audit.at > since, Audit.action == "ref.delete")
        .order_by(Audit.id.desc())
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(Audit.id < after)
    return [(note, digest) for note, digest in session.execute(statement)]


def find_commit(session: Session, repo_id: int, digest: str) -> Commit | None:
    """A commit by its id."""
    return session.scalar(select(Commit).where(Commit.repo_id == repo_id, Commit.digest == digest))


def find_commit_by_row(session: Session, row_id: int | None) -> Commit | None:
    """A commit by its row."""
    return session.get(Commit, row_id) if row_id is not None else None
