"""Who is calling and what they may do. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import Forbidden, RepoNotFound, Unauthenticated
from ..models import Repo


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller; a stranger has no `user_id`."""

    user_id: int | None
    name: str
    role: str

    @property
    def is_admin(self) -> bool:
        """May do everything."""
        return self.role == "admin"

    def may_read(self, repo: Repo) -> bool:
        """Public repos are everybody's to read."""
        return repo.visibility == "public" or self.owns(repo.namespace)

    def owns(self, namespace: str) -> bool:
        """A user owns the namespace of its name; an admin owns all."""
        return self.user_id is not None and (self.is_admin or self.name == namespace)


STRANGER = Principal(None, "", "stranger")


def require_user(principal: Principal) -> int:
    """The caller's user id; raises Unauthenticated for a stranger."""
    if principal.user_id is None:
        raise Unauthenticated("this needs a token; send `Authorization: Bearer TOKEN` or run `freebits login`")
    return principal.user_id


def require_admin(principal: Principal) -> None:
    """Raises Unauthenticated or Forbidden for everybody but an admin."""
    require_user(principal)
    if not principal.is_admin:
        raise Forbidden(f"only an admin may do this, {principal.name!r} is not one")


def require_read(principal: Principal, repo: Repo) -> None:
    """Raises RepoNotFound when the caller may not know of the repo."""
    if not principal.may_read(repo):
        raise RepoNotFound(repo.full_name)


def require_namespace(principal: Principal, namespace: str) -> int:
    """The caller's user id; raises Unauthenticated or Forbidden unless the namespace is theirs."""
    user_id = require_user(principal)
    if not principal.owns(namespace):
        raise Forbidden(
            f"{principal.name!r} may not write to {namespace!r}; a user owns the namespace of its name",
            namespace=namespace,
        )
    return user_id


def require_write(principal: Principal, repo: Repo) -> int:
    """The caller's user id; raises RepoNotFound before it tells that a private repo exists."""
    require_read(principal, repo)
    return require_namespace(principal, repo.namespace)
