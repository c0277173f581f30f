"""Content on its way in."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from .tables import Base, BigId


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
    staging: Mapped[str] = mapped_column(String(255), index=True)
    state: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class UploadPart(Base):
    """A part whose bytes are in the staging area; `sha256` is empty for one that came in its turn (``in_order.py``)."""

    __tablename__ = "upload_part"
    upload_id: Mapped[str] = mapped_column(ForeignKey("upload.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    nbytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))


class Xorb(Base):
    """Chunks that a Xet client sent, under the `hash` it names them by; only its user may refer to them.

    The client remembers for a while what it sent, and then refers to it instead of sending it again: until `expires_at`
    that works. The files themselves are stored as every other upload. The first `data_nbytes` of the object are the
    chunks, which the hub unpacked; NULL where the client sent them straight to the store, packed.
    """

    __tablename__ = "xorb"
    __table_args__ = (UniqueConstraint("user_id", "hash"), Index("ix_xorb_expires_at", "expires_at"))
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    hash: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(255), unique=True)
    nbytes: Mapped[int]
    data_nbytes: Mapped[int | None]
    expires_at: Mapped[datetime]
