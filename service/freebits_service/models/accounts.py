"""Who there is, what belongs to whom, how much of it there is, and what was changed by whom."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from .tables import Base, BigId


class User(Base):
    """Somebody with tokens; owns the namespace of its name. `role` is ``admin`` or ``user``.

    One that has been `disabled_at` some moment has no tokens and gets none.
    """

    __tablename__ = "user"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(96), unique=True)
    role: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]

    @property
    def is_active(self) -> bool:
        """May log in."""
        return self.disabled_at is None


class Token(Base):
    """A secret of a user; only its SHA-256 is kept (tokens are random, so a slow hash adds nothing).

    `scope` is ``read``, ``write`` or ``admin``; `limited_to` is empty, a namespace, or ``namespace/name``.
    """

    __tablename__ = "token"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    label: Mapped[str] = mapped_column(String(96))
    created_at: Mapped[datetime]
    scope: Mapped[str] = mapped_column(String(16), server_default="admin")
    limited_to: Mapped[str] = mapped_column(String(200), server_default="")
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class SigningKey(Base):
    """What the hub signs with that it hands out for a while (``grants.py``); a row per purpose, made when needed first.

    Whoever reads the database could make such grants. They could as well write a token of their own into it.
    """

    __tablename__ = "signing_key"
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    secret: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]


class Namespace(Base):
    """The first half of repo names; users and organizations share one name space.

    `kind` is ``user``, ``org``, ``open`` (an admin made repos there and nobody has the name), or ``mirror`` (nobody
    can have the name: repos of the upstream's are there). The row also holds what its repos add up to (see
    ``quotas/operations.py`` for the rule) and how much that may be: a quota of None is the hub's default, -1 is no
    limit.
    """

    __tablename__ = "namespace"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(96), unique=True)
    kind: Mapped[str] = mapped_column(String(8))
    created_at: Mapped[datetime]
    logical_nbytes: Mapped[int] = mapped_column(server_default="0")
    stored_nbytes: Mapped[int] = mapped_column(server_default="0")
    quota_logical_nbytes: Mapped[int | None]
    quota_stored_nbytes: Mapped[int | None]


class Membership(Base):
    """A user of an organization; `role` is ``read``, ``write`` or ``admin``."""

    __tablename__ = "membership"
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), primary_key=True)
    namespace_id: Mapped[int] = mapped_column(
        ForeignKey("namespace.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    role: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]


class Identity(Base):
    """Who a user is at an OIDC issuer. The only link between the two: names are never compared."""

    __tablename__ = "identity"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    issuer: Mapped[str] = mapped_column(String(255))
    subject: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime]


class OidcLogin(Base):
    """A login that was begun and not finished; holds nothing by which it could be finished."""

    __tablename__ = "oidc_login"
    state_digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    challenge: Mapped[str] = mapped_column(String(64))
    nonce: Mapped[str] = mapped_column(String(64))
    redirect_uri: Mapped[str] = mapped_column(String(255))
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Audit(Base):
    """Who changed what, when and from where, written in the transaction that changed it."""

    __tablename__ = "audit"
    __table_args__ = (
        Index("ix_audit_repo_at", "repo", "at"),
        Index("ix_audit_namespace_id", "namespace", "id"),
        Index("ix_audit_user_id", "user", "id"),
    )
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime]
    user: Mapped[str] = mapped_column(String(96))
    token_id: Mapped[int | None]
    address: Mapped[str] = mapped_column(String(64), server_default="")
    request_id: Mapped[str] = mapped_column(String(64), server_default="")
    action: Mapped[str] = mapped_column(String(32))
    namespace: Mapped[str] = mapped_column(String(96), server_default="")
    repo: Mapped[str] = mapped_column(String(200))
    detail: Mapped[dict[str, Any]]
