"""Content on its way in."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from .tables import Base


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
    """A part whose bytes are in the staging area."""

    __tablename__ = "upload_part"
    upload_id: Mapped[str] = mapped_column(ForeignKey("upload.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    nbytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
