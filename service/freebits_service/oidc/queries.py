"""Statements over logins that were begun and over links between users and issuers."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ..clock import now
from ..models import Identity, OidcLogin, User


def add_login(session: Session, login: OidcLogin) -> None:
    """Note a login that was begun, and forget those that nobody finished in time."""
    session.execute(delete(OidcLogin).where(OidcLogin.expires_at <= now()))
    session.add(login)


def take_login(session: Session, state_digest: str) -> OidcLogin | None:
    """A login, which can be taken once; None when it was, when it expired, or never was."""
    statement = delete(OidcLogin).where(OidcLogin.state_digest == state_digest, OidcLogin.expires_at > now())
    return session.scalar(statement.returning(OidcLogin))


def find_linked_user(session: Session, issuer: str, subject: str) -> User | None:
    """Who somebody at an issuer is here."""
    statement = select(User).join(Identity, Identity.user_id == User.id)
    return session.scalar(statement.where(Identity.issuer == issuer, Identity.subject == subject))


def link_user(session: Session, user_id: int, issuer: str, subject: str) -> None:
    """From now on somebody at the issuer is this user here."""
    session.add(Identity(user_id=user_id, issuer=issuer, subject=subject, created_at=now()))
    session.flush()
