"""Who there is and what was changed by whom."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from .tables import Base, BigId


class User(Base):
    """Somebody with tokens; owns the namespace of its name. `role` is ``admin`` or ``user``."""

    __tablename__ = "user"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(96), unique=True)
    role: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]


class Token(Base):
    """A secret of a user; only its SHA-256 is kept (tokens are random, so a slow hash adds nothing)."""

    __tablename__ = "token"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    label: Mapped[str] = mapped_column(String(96))
    created_at: Mapped[datetime]


class Audit(Base):
    """Who changed what, written in the transaction that changed it."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_repo_at", "repo", "at"),)
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime]
    user: Mapped[str] = mapped_column(String(96))
    action: Mapped[str] = mapped_column(String(32))
    repo: Mapped[str] = mapped_column(String(200))
    detail: Mapped[dict[str, Any]]
