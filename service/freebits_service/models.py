"""The tables. What the rows mean; the statements over them are in the ``queries.py`` files.

user -< token                      repo -< ref >- commit >- tree -< tree_span >- tree_page -< tree_entry >- blob
repo -< repo_blob >- blob          which repos hold which content: access by possession, and what may be collected
repo -< upload -< upload_part      content on its way in
blob -< job                        work wanted on it; worker: who lives; audit: who changed what
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows only for INTEGER
PathText = String().with_variant(String(collation="C"), "postgresql")  # sorted by bytes everywhere


class UtcDateTime(TypeDecorator[datetime]):
    """A moment with its zone; SQLite forgets the zone, so it is put back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Every moment in the database is UTC."""
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class Base(DeclarativeBase):
    """All tables of the hub."""

    type_annotation_map = {datetime: UtcDateTime(), int: BigInteger(), dict[str, Any]: JSON()}  # noqa: RUF012


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


class Repo(Base):
    """``namespace/name``; `visibility` is ``public`` or ``private``."""

    __tablename__ = "repo"
    __table_args__ = (UniqueConstraint("namespace", "name"),)
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    namespace: Mapped[str] = mapped_column(String(96))
    name: Mapped[str] = mapped_column(String(96))
    visibility: Mapped[str] = mapped_column(String(16))
    default_branch: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime]

    @property
    def full_name(self) -> str:
        """How callers name it."""
        return f"{self.namespace}/{self.name}"


class Commit(Base):
    """An immutable revision; `digest` (40 hex) names it, `tree_id` is all its files."""

    __tablename__ = "commit"
    __table_args__ = (UniqueConstraint("repo_id", "digest"),)
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    repo_id: Mapped[int] = mapped_column(ForeignKey("repo.id", ondelete="CASCADE"))
    digest: Mapped[str] = mapped_column(String(40))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("commit.id"), index=True)
    tree_id: Mapped[int] = mapped_column(ForeignKey("tree.id", ondelete="CASCADE"), index=True)
    author: Mapped[str] = mapped_column(String(96))
    message: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]


class Ref(Base):
    """A branch or tag (`kind`). One name is one ref, so that a revision is never ambiguous."""

    __tablename__ = "ref"
    __table_args__ = (UniqueConstraint("repo_id", "name"),)
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    repo_id: Mapped[int] = mapped_column(ForeignKey("repo.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(8))
    name: Mapped[str] = mapped_column(String(255))
    commit_id: Mapped[int] = mapped_column(ForeignKey("commit.id", ondelete="CASCADE"), index=True)


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


class Blob(Base):
    """Content that was received whole and verified, named by the SHA-256 of its original bytes.

    `state` is ``raw`` (served from `raw_key`, nothing pending), ``encoding`` (still served from `raw_key`, a
    job is queued or running) or ``encoded`` (served from `container_key`; `raw_key` stays until the collector
    lets it go). Content still on its way in has no row here, only an ``upload``.
    """

    __tablename__ = "blob"
    __table_args__ = (Index("ix_blob_state", "state"), Index("ix_blob_created_at", "created_at"))
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    nbytes: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    raw_key: Mapped[str | None] = mapped_column(String(255), unique=True)
    container_key: Mapped[str | None] = mapped_column(String(255), unique=True)
    container_nbytes: Mapped[int | None]
    container_sha256: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime]
    encoded_at: Mapped[datetime | None]
    leased_until: Mapped[datetime | None]

    @property
    def stored_nbytes(self) -> int:
        """Bytes of the object that is served."""
        return self.nbytes if self.container_nbytes is None else self.container_nbytes


class RepoBlob(Base):
    """`repo_id` holds `blob_id` in some revision. History is immutable, so rows go only with their repo."""

    __tablename__ = "repo_blob"
    repo_id: Mapped[int] = mapped_column(ForeignKey("repo.id", ondelete="CASCADE"), primary_key=True)
    blob_id: Mapped[int] = mapped_column(ForeignKey("blob.id"), primary_key=True, index=True)


class Upload(Base):
    """A resumable upload. A ``complete`` one that has not expired also proves that its user had the bytes."""

    __tablename__ = "upload"
    __table_args__ = (Index("ix_upload_user_id_sha256", "user_id", "sha256"),)
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    repo_id: Mapped[int] = mapped_column(ForeignKey("repo.id", ondelete="CASCADE"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    nbytes: Mapped[int]
    encoding: Mapped[str] = mapped_column(String(16))
    stored_nbytes: Mapped[int]
    stored_sha256: Mapped[str] = mapped_column(String(64))
    part_nbytes: Mapped[int]
    staging: Mapped[str] = mapped_column(String(255))
    state: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class UploadPart(Base):
    """A part whose bytes are in the staging area."""

    __tablename__ = "upload_part"
    upload_id: Mapped[str] = mapped_column(ForeignKey("upload.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    nbytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))


class Job(Base):
    """Work wanted on a blob; `key` (method and digest) makes asking twice the same as asking once.

    `state`: ``queued`` -> ``running`` -> ``done`` | ``parked`` | ``cancelled``; a failed attempt goes back to
    ``queued`` with a later `not_before`. Only the holder of `attempt` may finish it.
    """

    __tablename__ = "job"
    __table_args__ = (Index("ix_job_state_not_before", "state", "not_before"),)
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key: Mapped[str] = mapped_column(String(128), unique=True)
    queue: Mapped[str] = mapped_column(String(32))
    blob_id: Mapped[int] = mapped_column(ForeignKey("blob.id", ondelete="CASCADE"), index=True)
    state: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[int] = mapped_column(Integer)
    failures: Mapped[int] = mapped_column(Integer)
    not_before: Mapped[datetime]
    worker_id: Mapped[str | None] = mapped_column(String(64))
    progress_nbytes: Mapped[int]
    outcome: Mapped[str] = mapped_column(Text)
    encode_s: Mapped[float | None]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class Worker(Base):
    """A worker process and when it was last heard of."""

    __tablename__ = "worker"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    queue: Mapped[str] = mapped_column(String(32))
    pid: Mapped[int]
    started_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime]


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
