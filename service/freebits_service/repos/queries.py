"""Statements over repos and refs."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Select, delete, select, tuple_, union, update
from sqlalchemy.orm import Session

from ..accounts.principal import Principal, private_of
from ..clock import now
from ..db import batches
from ..models import Commit, Ref, Repo


def find_repo(session: Session, namespace: str, name: str) -> Repo | None:
    """The repo of this name."""
    return session.scalar(select(Repo).where(Repo.namespace == namespace, Repo.name == name))


def find_repos(session: Session, full_names: Sequence[str]) -> Sequence[Repo]:
    """Those of the repos that there are, by names ``namespace/name``."""
    found: list[Repo] = []
    for some in batches([tuple(name.split("/", 1)) for name in full_names]):
        found += session.scalars(select(Repo).where(tuple_(Repo.namespace, Repo.name).in_(some)))
    return found


def add_repo(session: Session, namespace: str, name: str, visibility: str, default_branch: str) -> Repo:
    """A new repo without commits; the name must be free."""
    repo = Repo(
        namespace=namespace,
        name=name,
        visibility=visibility,
        default_branch=default_branch,
        created_at=now(),
    )
    session.add(repo)
    session.flush()
    return repo


def set_visibility(session: Session, repo_id: int, visibility: str) -> None:
    """Make a repo public or private."""
    session.execute(update(Repo).where(Repo.id == repo_id).values(visibility=visibility))


def delete_repo(session: Session, repo_id: int) -> None:
    """Remove a repo with its history; its blobs become collectable."""
    session.execute(delete(Repo).where(Repo.id == repo_id))


def list_repos(
    session: Session,
    caller: Principal,
    *,
    namespace: str | None,
    after: tuple[str, str] | None,
    limit: int,
) -> Sequence[tuple[Repo, str | None]]:
    """Repos in order of their names with the commit of their default branch, those the caller may see.

    The page is put together from the first public ones and the first ones that are the caller's, each a walk along
    an index: however many private repos of others lie between, none of them is looked at.
    """

    def page(condition: ColumnElement[bool]) -> Select[int]:
        some = select(Repo.id).where(condition).order_by(Repo.namespace, Repo.name).limit(limit)
        if namespace is not None:
            some = some.where(Repo.namespace == namespace)
        return some if after is None else some.where(tuple_(Repo.namespace, Repo.name) > tuple_(*after))

    public, private = page(Repo.visibility == "public").subquery(), page(private_of(caller)).subquery()
    statement = (
        select(Repo, Commit.digest)
        .outerjoin(Ref, (Ref.repo_id == Repo.id) & (Ref.name == Repo.default_branch))
        .outerjoin(Commit, Commit.id == Ref.commit_id)
        .where(Repo.id.in_(union(select(public.c.id), select(private.c.id))))
        .order_by(Repo.namespace, Repo.name)
        .limit(limit)
    )
    return [(repo, head) for repo, head in session.execute(statement)]


def find_head(session: Session, repo: Repo) -> str | None:
    """The commit id of the default branch."""
    found = find_ref(session, repo.id, repo.default_branch)
    return found[1].digest if found else None


def find_ref(session: Session, repo_id: int, name: str) -> tuple[Ref, Commit] | None:
    """A branch or tag and the commit it is at."""
    statement = select(Ref, Commit).join(Commit, Commit.id == Ref.commit_id)
    found = session.execute(statement.where(Ref.repo_id == repo_id, Ref.name == name)).one_or_none()
    return None if found is None else (found[0], found[1])


def list_refs(session: Session, repo_id: int) -> Sequence[tuple[Ref, str]]:
    """All refs of a repo by name, each with its commit id."""
    statement = select(Ref, Commit.digest).join(Commit, Commit.id == Ref.commit_id)
    rows = session.execute(statement.where(Ref.repo_id == repo_id).order_by(Ref.name))
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


def delete_ref(session: Session, repo_id: int, kind: str, name: str) -> bool:
    """Remove a ref; False when there is none."""
    statement = delete(Ref).where(Ref.repo_id == repo_id, Ref.kind == kind, Ref.name == name).returning(Ref.id)
    return session.scalar(statement) is not None


def find_commit(session: Session, repo_id: int, digest: str) -> Commit | None:
    """A commit by its id."""
    return session.scalar(select(Commit).where(Commit.repo_id == repo_id, Commit.digest == digest))


def find_commit_by_row(session: Session, row_id: int | None) -> Commit | None:
    """A commit by its row."""
    return session.get(Commit, row_id) if row_id is not None else None
