"""Who is calling and what they may do: every access decision of the hub, for one row and as a filter for SQL.

What somebody may do in a namespace is the least of two: what they are there (its owner, a member of the
organization with a role, an admin of the hub), and what their token is for (its scope, and the namespace or
repo it is limited to). Outside of what a token is limited to, its bearer is a stranger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, and_, false, or_, true

from ..errors import Forbidden, RepoNotFound, Unauthenticated
from ..models import Repo

READ, WRITE, ADMIN = "read", "write", "admin"
_RANK = {"": 0, READ: 1, WRITE: 2, ADMIN: 3}


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller; a stranger has no `user_id`. `roles` are those in organizations, by name."""

    user_id: int | None
    name: str
    role: str
    token_id: int | None = None
    scope: str = ADMIN
    limited_to: str = ""
    roles: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_admin(self) -> bool:
        """May do everything."""
        return self.is_unlimited and self.role == "admin"

    @property
    def is_unlimited(self) -> bool:
        """Comes with a token that may do all that its user may."""
        return self.user_id is not None and self.scope == ADMIN and not self.limited_to

    @property
    def sees_all(self) -> bool:
        """May read every repo."""
        return self.role == "admin" and not self.limited_to

    def may(self, wanted: str, namespace: str, name: str = "") -> bool:
        """Whether the caller may ``read``, ``write`` or ``admin`` there; `name` is empty for the namespace itself."""
        if self.user_id is None or not self._is_for(namespace, name):
            return False
        owner = self.role == "admin" or self.name == namespace
        role = ADMIN if owner else self.roles.get(namespace, "")
        return min(_RANK[role], _RANK[self.scope]) >= _RANK[wanted]

    def may_read(self, repo: Repo) -> bool:
        """Public repos are everybody's to read."""
        return repo.visibility == "public" or self.may(READ, repo.namespace, repo.name)

    def _is_for(self, namespace: str, name: str) -> bool:
        return self.limited_to in {"", namespace, f"{namespace}/{name}"}


STRANGER = Principal(None, "", "stranger")


def readable_by(principal: Principal) -> ColumnElement[bool]:
    """`Principal.may_read` as a condition on `Repo`; what is deleted nobody reads."""
    return and_(Repo.deleted_at.is_(None), or_(Repo.visibility == "public", private_of(principal)))


def private_of(principal: Principal) -> ColumnElement[bool]:
    """The repos that the caller may read even if they are private, as a condition on `Repo`."""
    if principal.user_id is None:
        return false()
    if not principal.limited_to:
        return true() if principal.sees_all else Repo.namespace.in_([principal.name, *principal.roles])
    namespace, _, name = principal.limited_to.partition("/")
    if not principal.may(READ, namespace, name):
        return false()
    return and_(Repo.namespace == namespace, Repo.name == name) if name else Repo.namespace == namespace


def require_user(principal: Principal) -> int:
    """The caller's user id; raises Unauthenticated for a stranger."""
    if principal.user_id is None:
        raise Unauthenticated("this needs a token; send `Authorization: Bearer TOKEN` or run `freebits login`")
    return principal.user_id


def require_admin(principal: Principal) -> None:
    """Raises Unauthenticated or Forbidden for everybody but an admin of the hub."""
    require_user(principal)
    if not principal.is_admin:
        raise Forbidden(f"only an admin may do this, {_describe(principal)} is not one")


def require_self(principal: Principal, name: str) -> None:
    """Raises Unauthenticated or Forbidden unless the account is the caller's, or the caller an admin.

    A token that may do less than its user cannot see or make other tokens of that user.
    """
    require_user(principal)
    if not principal.is_admin and not (principal.is_unlimited and principal.name == name):
        raise Forbidden(f"only {name[:96]!r} or an admin may do this, with a token of scope 'admin'")


def require_read(principal: Principal, repo: Repo) -> None:
    """Raises RepoNotFound when the caller may not know of the repo."""
    if not principal.may_read(repo):
        raise RepoNotFound(repo.full_name)


def require_namespace(principal: Principal, namespace: str, name: str = "", *, wanted: str = WRITE) -> int:
    """The caller's user id; raises Unauthenticated or Forbidden unless they may do this in the namespace."""
    user_id = require_user(principal)
    if not principal.may(wanted, namespace, name):
        raise Forbidden(
            f"{_describe(principal)} may not {'write to' if wanted == WRITE else 'administer'} {namespace!r}; "
            f"that takes its owner, or a member of the organization with the role {wanted!r}",
            namespace=namespace,
            needed=wanted,
        )
    return user_id


def require_write(principal: Principal, repo: Repo, *, wanted: str = WRITE) -> int:
    """The caller's user id; raises RepoNotFound before it tells that a private repo exists."""
    require_read(principal, repo)
    return require_namespace(principal, repo.namespace, repo.name, wanted=wanted)


def _describe(principal: Principal) -> str:
    limits = "" if principal.is_unlimited else f" with a token of scope {principal.scope!r}"
    return f"{principal.name!r}{limits}" + (f" for {principal.limited_to!r}" if principal.limited_to else "")
