"""Statements over users, tokens, namespaces, and new lines of the audit trail."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.orm import Session

from ..clock import now
from ..db import insert_missing
from ..models import Audit, Membership, Namespace, Repo, Token, User
from ..request_context import current_context
from ..request_ids import current_request_id


def find_user(session: Session, name: str) -> User | None:
    """The user of this name."""
    return session.scalar(select(User).where(User.name == name))


def find_token(session: Session, digest: str) -> tuple[Token, User] | None:
    """A token and its user, by the token's digest, unless the user was deactivated."""
    return _token_and_user(session, Token.digest == digest)


def find_token_by_id(session: Session, token_id: int) -> tuple[Token, User] | None:
    """The same by the token's row."""
    return _token_and_user(session, Token.id == token_id)


def _token_and_user(session: Session, condition: ColumnElement[bool]) -> tuple[Token, User] | None:
    statement = select(Token, User).join(User, User.id == Token.user_id)
    found = session.execute(statement.where(condition, User.disabled_at.is_(None))).one_or_none()
    return None if found is None else (found[0], found[1])


def label_of(session: Session, token_id: int | None) -> str:
    """What a token is called."""
    return session.scalar(select(Token.label).where(Token.id == token_id)) or ""


def roles_of(session: Session, user_id: int) -> dict[str, str]:
    """A user's roles by the organization's name."""
    statement = select(Namespace.name, Membership.role).join(Namespace, Namespace.id == Membership.namespace_id)
    return dict(row for row in session.execute(statement.where(Membership.user_id == user_id)))


def list_users(session: Session, after: str | None, limit: int) -> Sequence[User]:
    """Users by name, those behind `after`."""
    statement = select(User).order_by(User.name).limit(limit)
    return session.scalars(statement if after is None else statement.where(User.name > after)).all()


def add_user(session: Session, name: str, role: str) -> User:
    """A new user; the name must be free."""
    user = User(name=name, role=role, created_at=now())
    session.add(user)
    session.flush()
    return user


def delete_user(session: Session, user_id: int) -> None:
    """Remove a user with tokens, memberships, uploads and links to issuers."""
    session.execute(delete(User).where(User.id == user_id))


def add_token(
    session: Session,
    user_id: int,
    digest: str,
    label: str,
    *,
    scope: str = "admin",
    limited_to: str = "",
    expires_at: datetime | None = None,
) -> Token:
    """A new token of a user."""
    token = Token(
        user_id=user_id,
        digest=digest,
        label=label,
        created_at=now(),
        scope=scope,
        limited_to=limited_to,
        expires_at=expires_at,
    )
    session.add(token)
    session.flush()
    return token


def list_tokens(session: Session, user_id: int, after: int | None, limit: int) -> Sequence[Token]:
    """A user's tokens, oldest first, with row ids above `after`."""
    statement = select(Token).where(Token.user_id == user_id, Token.id > (after or 0))
    return session.scalars(statement.order_by(Token.id).limit(limit)).all()


def delete_token(session: Session, user_id: int, token_id: int) -> bool:
    """Revoke a token; False when the user has none of this id."""
    statement = delete(Token).where(Token.id == token_id, Token.user_id == user_id).returning(Token.id)
    return session.scalar(statement) is not None


def delete_tokens(session: Session, user_id: int) -> None:
    """Revoke all tokens of a user."""
    session.execute(delete(Token).where(Token.user_id == user_id))


def delete_expired_tokens(session: Session, user_id: int) -> None:
    """Forget tokens of a user that nobody can use any more."""
    session.execute(delete(Token).where(Token.user_id == user_id, Token.expires_at <= now()))


def delete_tokens_labelled(session: Session, user_id: int, label: str) -> None:
    """Revoke a user's tokens of this label."""
    session.execute(delete(Token).where(Token.user_id == user_id, Token.label == label))


def set_last_used(session: Session, seen: Sequence[tuple[int, datetime]]) -> None:
    """Note when tokens were last used; another replica may have noted something later."""
    for token_id, at in seen:
        earlier = or_(Token.last_used_at.is_(None), Token.last_used_at < at)
        session.execute(update(Token).where(Token.id == token_id, earlier).values(last_used_at=at))


def find_namespace(session: Session, name: str) -> Namespace | None:
    """The namespace of this name."""
    return session.scalar(select(Namespace).where(Namespace.name == name))


def ensure_namespace(session: Session, name: str, kind: str) -> Namespace:
    """The namespace of this name, made if need be; of two who make it at once the second gets the first's."""
    found = find_namespace(session, name)
    if found is None:
        row = {"name": name, "kind": kind, "created_at": now(), "logical_nbytes": 0, "stored_nbytes": 0}
        insert_missing(session, Namespace, [row])
        found = session.scalars(select(Namespace).where(Namespace.name == name)).one()
    return found


def delete_namespace(session: Session, name: str) -> None:
    """Free a name, with its quota and memberships."""
    session.execute(delete(Namespace).where(Namespace.name == name))


def has_repos(session: Session, namespace: str) -> bool:
    """Whether there is a repo in the namespace."""
    return session.scalar(select(Repo.id).where(Repo.namespace == namespace).limit(1)) is not None


def record(session: Session, user: str, action: str, repo: str = "", /, *, namespace: str = "", **detail: Any) -> None:
    """Note in the audit trail who did what; from where and by which token is known from the request.

    `namespace` says whose admins may read the line; it follows from the repo where there is one.
    """
    context = current_context()
    session.add(
        Audit(
            at=now(),
            user=user,
            token_id=context.token_id,
            address=context.address,
            request_id=current_request_id(),
            action=action,
            namespace=namespace or repo.partition("/")[0],
            repo=repo,
            detail=detail,
        )
    )
