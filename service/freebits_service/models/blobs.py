"""Content and who holds it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, false, text
from sqlalchemy.orm import Mapped, mapped_column

from .tables import Base, BigId


class Blob(Base):
    """Content that was received whole and verified, named by the SHA-256 of its original bytes.

    `state` is ``raw`` (served from `raw_key`, nothing pending), ``encoding`` (still served from `raw_key`, a
    job is queued or running) or ``encoded`` (served from `container_key`; `raw_key` stays until the collector
    lets it go). Content still on its way in has no row here, only an ``upload``; but for ``remote`` content: the
    upstream has it, a mirrored repo names it, and its bytes are not here (`UpstreamFile`).

    A container is `symmetric` when its original is not the file but a form of which the file is made (see
    ``codecs/FORMAT.md``): such a file is never sent from its container, only expanded.

    `look_at` is when the collector should look at the blob, because it may be unneeded or have a raw copy to let go of;
    None when nothing of that kind can be. `damaged_at` is when its bytes were found damaged; nothing is served then.
    `tensor_count` is how many rows of ``tensor`` it has, None when it was never indexed. `git_oid` is what git calls a
    blob of these bytes, where the hub had them all at hand at once: clients compare short files by it.
    """

    __tablename__ = "blob"
    __table_args__ = (
        Index("ix_blob_state", "state"),
        Index("ix_blob_state_nbytes_id", "state", "nbytes", "id"),
        Index("ix_blob_created_at", "created_at"),
        Index("ix_blob_look_at", "look_at", "id"),
    )
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    nbytes: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    raw_key: Mapped[str | None] = mapped_column(String(255), unique=True)
    container_key: Mapped[str | None] = mapped_column(String(255), unique=True)
    container_nbytes: Mapped[int | None]
    container_sha256: Mapped[str | None] = mapped_column(String(64))
    symmetric: Mapped[bool] = mapped_column(server_default=false())
    created_at: Mapped[datetime]
    encoded_at: Mapped[datetime | None]
    leased_until: Mapped[datetime | None]
    look_at: Mapped[datetime | None] = mapped_column(server_default=text("'1970-01-01 00:00:00.000000'"))
    damaged_at: Mapped[datetime | None]
    tensor_count: Mapped[int | None]
    git_oid: Mapped[str | None] = mapped_column(String(40))

    @property
    def stored_nbytes(self) -> int:
        """Bytes of the object that is served."""
        if self.state == "remote":
            return 0
        return self.nbytes if self.container_nbytes is None else self.container_nbytes

    @property
    def is_good(self) -> bool:
        """Whether its bytes are here, and not known to be damaged."""
        return self.state != "remote" and self.damaged_at is None


class RepoBlob(Base):
    """`repo_id` holds `blob_id` in some revision. History is immutable, so rows go only with their repo."""

    __tablename__ = "repo_blob"
    repo_id: Mapped[int] = mapped_column(ForeignKey("repo.id", ondelete="CASCADE"), primary_key=True)
    blob_id: Mapped[int] = mapped_column(ForeignKey("blob.id"), primary_key=True, index=True)


class UpstreamFile(Base):
    """Content that a mirrored repo has by name only: its bytes are fetched when somebody reads a file that has it.

    Until then the repo does not hold the blob, also if its bytes are here for others: to be named by the upstream is no
    proof of having had them. Then a `RepoBlob` takes the place of this row.
    """

    __tablename__ = "upstream_file"
    repo_id: Mapped[int] = mapped_column(ForeignKey("repo.id", ondelete="CASCADE"), primary_key=True)
    blob_id: Mapped[int] = mapped_column(ForeignKey("blob.id", ondelete="CASCADE"), primary_key=True, index=True)
