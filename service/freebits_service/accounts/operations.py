"""Users and tokens. A token is shown once and kept as its SHA-256."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime

from sqlalchemy.orm import Session

from ..clock import in_seconds, now
from ..db import Database
from ..errors import Forbidden, NamespaceInUse, TokenNotFound, Unauthenticated, UserExists, UserNotFound
from ..models import Token, User
from ..names import check_not_reserved, check_segment, split_repo_name
from . import queries
from .principal import ADMIN as ADMIN_SCOPE
from .principal import Principal

ADMIN = "admin"
PRESET = "preset by settings"
COMMAND_LINE = "command line"
_PREFIX = "fb_"


def token_digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def identify(db: Database, token: str) -> Principal:
    """Whose token this is; raises Unauthenticated for one nobody issued, or that is past its time.

    The look-up compares digests, not tokens. How long it takes may tell how many leading bits of a *digest* are
    right, and nobody can choose tokens by bits of their SHA-256 without already knowing the token: so an index
    probe is as good here as a comparison in constant time, and much faster than one per token.
    """
    with db.snapshot() as session:
        return _principal(session, queries.find_token(session, token_digest(token)))


def identify_by_id(db: Database, token_id: int) -> Principal:
    """Whose token this is, for somebody who has shown it before; raises Unauthenticated."""
    with db.snapshot() as session:
        return _principal(session, queries.find_token_by_id(session, token_id))


def _principal(session: Session, found: tuple[Token, User] | None) -> Principal:
    if found is None:
        raise Unauthenticated(
            "the token is not known here (revoked, or of another hub); run `freebits login`", reason="token"
        )
    row, user = found
    if row.expires_at is not None and row.expires_at <= now():
        raise Unauthenticated("the token has expired; make another one, or run `freebits login`", reason="token")
    roles = queries.roles_of(session, user.id)
    return Principal(user.id, user.name, user.role, row.id, row.scope, row.limited_to, roles)


def issue_token(
    session: Session,
    user: User,
    label: str,
    *,
    scope: str = ADMIN_SCOPE,
    limited_to: str = "",
    ttl_s: float | None = None,
) -> tuple[Token, str]:
    """A new token of the user: its row, and itself in clear for the only time; raises InvalidName, Forbidden."""
    if not user.is_active:
        raise Forbidden(f"{user.name!r} is deactivated and gets no tokens; activate the user first")
    _check_limit(limited_to)
    queries.delete_expired_tokens(session, user.id)
    token = _PREFIX + secrets.token_urlsafe(32)
    expires_at: datetime | None = None if ttl_s is None else in_seconds(ttl_s)
    row = queries.add_token(
        session, user.id, token_digest(token), label, scope=scope, limited_to=limited_to, expires_at=expires_at
    )
    return row, token


def _check_limit(limited_to: str) -> None:
    if "/" in limited_to:
        split_repo_name(limited_to)
    elif limited_to:
        check_segment(limited_to, "namespace")


def create_user(session: Session, name: str, role: str) -> User:
    """A new user with its namespace; raises InvalidName, UserExists."""
    check_not_reserved(check_segment(name, "user name"))
    if queries.find_user(session, name) is not None:
        raise UserExists(f"there is a user {name!r} already", user=name)
    claim_namespace(session, name, "user")
    return queries.add_user(session, name, role)


def claim_namespace(session: Session, name: str, kind: str) -> None:
    """Give a name to a user or an organization; raises UserExists when somebody has it."""
    namespace = queries.ensure_namespace(session, name, kind)
    if namespace.kind not in {kind, "open"} or queries.find_user(session, name) is not None:
        by = {"org": "an organization", "mirror": "repos that mirror the upstream's"}.get(namespace.kind, "a user")
        raise UserExists(f"the name {name!r} is taken by {by}", user=name)
    namespace.kind = kind


def change_user(session: Session, caller: Principal, name: str, *, role: str | None, active: bool | None) -> User:
    """Give another role, deactivate, activate again; raises UserNotFound, Forbidden.

    Whoever is deactivated loses all tokens at once, and does not get them back.
    """
    user = require_existing_user(session, name)
    if role == "user" or active is False:
        _require_expendable(caller, user)
    if role is not None:
        user.role = role
    if active is False:
        user.disabled_at = user.disabled_at or now()
        queries.delete_tokens(session, user.id)
    elif active:
        user.disabled_at = None
    changes = {"role": role, "active": active}
    said = {key: value for key, value in changes.items() if value is not None}
    queries.record(session, caller.name, "user.change", namespace=name, user=name, **said)
    return user


def remove_user(session: Session, caller: Principal, name: str) -> None:
    """Remove a user and free the name; raises UserNotFound, Forbidden, NamespaceInUse."""
    user = require_existing_user(session, name)
    _require_expendable(caller, user)
    require_no_repos(session, name)
    queries.delete_user(session, user.id)
    queries.delete_namespace(session, name)
    queries.record(session, caller.name, "user.delete", namespace=name, user=name)


def require_no_repos(session: Session, namespace: str) -> None:
    """Raises NamespaceInUse: a name with repos must not become free, or the next owner would inherit them."""
    if queries.has_repos(session, namespace):
        raise NamespaceInUse(
            f"{namespace!r} has repos; delete them first (`freebits rm {namespace}/NAME --repo`) and wait until they "
            "can no longer be brought back (the setting delete_grace_s)",
            namespace=namespace,
        )


def _require_expendable(caller: Principal, user: User) -> None:
    if user.name in {ADMIN, caller.name}:
        raise Forbidden("nobody takes rights from themselves or from the built-in admin: a hub needs one")


def revoke_token(session: Session, caller: Principal, name: str, token_id: int) -> None:
    """End a token; raises UserNotFound, TokenNotFound."""
    user = require_existing_user(session, name)
    if not queries.delete_token(session, user.id, token_id):
        raise TokenNotFound(f"{name!r} has no token {token_id}", user=user.name, token=token_id)
    queries.record(session, caller.name, "token.delete", namespace=name, user=user.name, token_id=token_id)


def require_existing_user(session: Session, name: str) -> User:
    """The user of this name; raises UserNotFound."""
    user = queries.find_user(session, name)
    if user is None:
        raise UserNotFound(f"no user {name[:96]!r}; create it with POST /api/v1/users", user=name[:96])
    return user


def ensure_admin(db: Database, preset: str) -> str | None:
    """Make sure that there is an admin who can log in.

    With a `preset` token that one is valid from now on, and any earlier preset is not. Without, the first
    call makes a token and returns it; later calls return None. Replicas that start together may all call it.
    """

    def ensure(session: Session) -> str | None:
        queries.ensure_namespace(session, ADMIN, "user")  # waits for another replica that starts at this moment
        admin = queries.find_user(session, ADMIN)
        is_first = admin is None
        if admin is None:
            admin = create_user(session, ADMIN, "admin")
            queries.record(session, COMMAND_LINE, "user.create", namespace=ADMIN, user=ADMIN, role="admin")
        if preset:
            _preset_token(session, admin, preset)
            return preset
        return issue_token(session, admin, "first start")[1] if is_first else None

    return db.run(ensure)


def _preset_token(session: Session, admin: User, preset: str) -> None:
    found = queries.find_token(session, token_digest(preset))
    if found is not None and found[0].user_id == admin.id:
        return  # another start, or another replica, with the same preset
    queries.delete_tokens_labelled(session, admin.id, PRESET)
    row = queries.add_token(session, admin.id, token_digest(preset), PRESET)
    queries.record(session, COMMAND_LINE, "token.create", namespace=ADMIN, user=ADMIN, token_id=row.id)


def new_admin_token(db: Database) -> str:
    """One more token for the admin, for somebody who can read the data folder but lost the token."""
    with db.transaction() as session:
        row, token = issue_token(session, require_existing_user(session, ADMIN), COMMAND_LINE)
        queries.record(session, COMMAND_LINE, "token.create", namespace=ADMIN, user=ADMIN, token_id=row.id)
        return token
