"""Statements over users, tokens and the audit trail."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ..clock import now
from ..models import Audit, Token, User


def find_user(session: Session, name: str) -> User | None:
    """The user of this name."""
    return session.scalar(select(User).where(User.name == name))


def find_user_by_token(session: Session, digest: str) -> User | None:
    """The user a token belongs to, by the token's digest."""
    return session.scalar(select(User).join(Token, Token.user_id == User.id).where(Token.digest == digest))


def add_user(session: Session, name: str, role: str) -> User:
    """A new user; the name must be free."""
    user = User(name=name, role=role, created_at=now())
    session.add(user)
    session.flush()
    return user


def add_token(session: Session, user_id: int, digest: str, label: str) -> Token:
    """A new token of a user."""
    token = Token(user_id=user_id, digest=digest, label=label, created_at=now())
    session.add(token)
    session.flush()
    return token


def delete_token(session: Session, user_id: int, token_id: int) -> bool:
    """Revoke a token; False when the user has none of this id."""
    statement = delete(Token).where(Token.id == token_id, Token.user_id == user_id).returning(Token.id)
    return session.scalar(statement) is not None


def delete_tokens_labelled(session: Session, user_id: int, label: str) -> None:
    """Revoke a user's tokens of this label."""
    session.execute(delete(Token).where(Token.user_id == user_id, Token.label == label))


def record(session: Session, user: str, action: str, repo: str = "", /, **detail: Any) -> None:
    """Note in the audit trail who did what."""
    session.add(Audit(at=now(), user=user, action=action, repo=repo, detail=detail))
