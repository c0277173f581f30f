"""Users and tokens. A token is shown once and kept as its SHA-256."""

from __future__ import annotations

import hashlib
import secrets

from sqlalchemy.orm import Session

from ..db import Database
from ..errors import Unauthenticated, UserExists, UserNotFound
from ..models import User
from ..names import check_segment
from . import queries
from .principal import Principal

ADMIN = "admin"
PRESET = "preset by settings"
_PREFIX = "fb_"


def token_digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def identify(db: Database, token: str) -> Principal:
    """Whose token this is; raises Unauthenticated for one nobody issued."""
    with db.snapshot() as session:
        user = queries.find_user_by_token(session, token_digest(token))
    if user is None:
        raise Unauthenticated("the token is not known here (revoked, or of another hub); run `freebits login`")
    return Principal(user.id, user.name, user.role)


def issue_token(session: Session, user: User, label: str) -> tuple[int, str]:
    """A new token of the user: its id, and itself in clear for the only time."""
    token = _PREFIX + secrets.token_urlsafe(32)
    return queries.add_token(session, user.id, token_digest(token), label).id, token


def create_user(session: Session, name: str, role: str) -> User:
    """A new user; raises InvalidName, UserExists."""
    check_segment(name, "user name")
    if queries.find_user(session, name) is not None:
        raise UserExists(f"there is a user {name!r} already", user=name)
    return queries.add_user(session, name, role)


def require_existing_user(session: Session, name: str) -> User:
    """The user of this name; raises UserNotFound."""
    user = queries.find_user(session, name)
    if user is None:
        raise UserNotFound(f"no user {name!r}; create it with POST /api/v1/users", user=name[:96])
    return user


def ensure_admin(db: Database, preset: str) -> str | None:
    """Make sure that there is an admin who can log in.

    With a `preset` token that one is valid from now on, and any earlier preset is not. Without, the first
    call makes a token and returns it; later calls return None.
    """

    def ensure(session: Session) -> str | None:
        admin = queries.find_user(session, ADMIN)
        is_first = admin is None
        if admin is None:
            admin = queries.add_user(session, ADMIN, "admin")
        if preset:
            queries.delete_tokens_labelled(session, admin.id, PRESET)
            queries.add_token(session, admin.id, token_digest(preset), PRESET)
            return preset
        return issue_token(session, admin, "first start")[1] if is_first else None

    return db.run(ensure)


def new_admin_token(db: Database) -> str:
    """One more token for the admin, for somebody who can read the data folder but lost the token."""
    with db.transaction() as session:
        return issue_token(session, require_existing_user(session, ADMIN), "command line")[1]
