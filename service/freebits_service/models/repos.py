"""Repos, what their revisions hold, and who points where."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from .tables import Base, BigId, PathText


class Repo(Base):
    """``namespace/name``; `visibility` is ``public`` or ``private``, `kind` is ``model``, ``dataset`` or ``space``.

    A deleted repo keeps its rows for a grace period: `deleted_at` says since when, `deleted_name` what it was called,
    and `name` is ``~<id>``, which no name may be, so that its own name is free at once without giving up the unique
    constraint, and nobody finds the repo by a name. Once the collector takes it apart (`purging`) it cannot come back.

    `mirrored_at` is when the repo was last compared with the upstream's of that name; None for one of this hub's own.
    `upstream_open` says whether everybody could read that one then.
    """

    __tablename__ = "repo"
    __table_args__ = (
        UniqueConstraint("namespace", "name"),
        Index("ix_repo_visibility_namespace_name", "visibility", "namespace", "name"),
        Index("ix_repo_deleted_at", "deleted_at"),
        Index("ix_repo_namespace_deleted_name", "namespace", "deleted_name"),
    )
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    namespace: Mapped[str] = mapped_column(String(96))
    name: Mapped[str] = mapped_column(String(96))
    visibility: Mapped[str] = mapped_column(String(16))
    kind: Mapped[str] = mapped_column(String(8), server_default="model")
    default_branch: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]
    deleted_name: Mapped[str | None] = mapped_column(String(96))
    purging: Mapped[bool] = mapped_column(server_default=false())
    mirrored_at: Mapped[datetime | None]
    upstream_open: Mapped[bool | None]

    @property
    def full_name(self) -> str:
        """How callers name it, or did before it was deleted."""
        return f"{self.namespace}/{self.deleted_name or self.name}"


class Ref(Base):
    """A branch or tag (`kind`). One name is one ref, so that a revision is never ambiguous."""

    __tablename__ = "ref"
    __table_args__ = (UniqueConstraint("repo_id", "name"),)
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    repo_id: Mapped[int] = mapped_column(ForeignKey("repo.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(8))
    name: Mapped[str] = mapped_column(String(255))
    commit_id: Mapped[int] = mapped_column(ForeignKey("commit.id", ondelete="CASCADE"), index=True)


class Commit(Base):
    """An immutable revision; `digest` (40 hex) names it, `tree_id` is all its files."""

    __tablename__ = "commit"
    __table_args__ = (UniqueConstraint("repo_id", "digest"), Index("ix_commit_repo_id_id", "repo_id", "id"))
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    repo_id: Mapped[int] = mapped_column(ForeignKey("repo.id", ondelete="CASCADE"))
    digest: Mapped[str] = mapped_column(String(40))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("commit.id"), index=True)
    tree_id: Mapped[int] = mapped_column(ForeignKey("tree.id", ondelete="CASCADE"), index=True)
    author: Mapped[str] = mapped_column(String(96))
    message: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]


class Tree(Base):
    """All files of a revision as a sorted list of pages; see ``trees/pages.py`` for why pages."""

    __tablename__ = "tree"
    __table_args__ = (UniqueConstraint("repo_id", "digest"),)
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    repo_id: Mapped[int] = mapped_column(ForeignKey("repo.id", ondelete="CASCADE"))
    digest: Mapped[str] = mapped_column(String(64))


class TreeSpan(Base):
    """The page of a tree that begins at `first_path`."""

    __tablename__ = "tree_span"
    tree_id: Mapped[int] = mapped_column(ForeignKey("tree.id", ondelete="CASCADE"), primary_key=True)
    first_path: Mapped[str] = mapped_column(PathText, primary_key=True)
    page_id: Mapped[int] = mapped_column(ForeignKey("tree_page.id", ondelete="CASCADE"), index=True)


class TreePage(Base):
    """Some neighbouring files, shared by every tree of the repo in which they are the same."""

    __tablename__ = "tree_page"
    __table_args__ = (UniqueConstraint("repo_id", "digest"),)
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    repo_id: Mapped[int] = mapped_column(ForeignKey("repo.id", ondelete="CASCADE"))
    digest: Mapped[str] = mapped_column(String(64))


class TreeEntry(Base):
    """One file of a page."""

    __tablename__ = "tree_entry"
    page_id: Mapped[int] = mapped_column(ForeignKey("tree_page.id", ondelete="CASCADE"), primary_key=True)
    path: Mapped[str] = mapped_column(PathText, primary_key=True)
    blob_id: Mapped[int] = mapped_column(ForeignKey("blob.id"), index=True)
