"""Revisions that workers make of others."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from .tables import Base


class Variant(Base):
    """What a job of kind ``variant`` is to make: `method` of commit `source_id`, as the new head of `branch`.

    `nbytes` are those of the source's files. `commit_id` is what was made of it, by the latest attempt that ended well;
    a branch is a variant's as long as its head is some variant's `commit_id`. `before_nbytes` and `after_nbytes` are of
    the report: what the files that it replaces, and those that it is made of, take in the store.
    """

    __tablename__ = "variant"
    __table_args__ = (Index("ix_variant_repo_id_job_id", "repo_id", "job_id"),)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    repo_id: Mapped[int] = mapped_column(ForeignKey("repo.id", ondelete="CASCADE"))
    method: Mapped[str] = mapped_column(String(32))
    parameters: Mapped[dict[str, Any]] = mapped_column(JSON)
    source_id: Mapped[int] = mapped_column(ForeignKey("commit.id", ondelete="CASCADE"), index=True)
    branch: Mapped[str] = mapped_column(String(255))
    author: Mapped[str] = mapped_column(String(96))
    nbytes: Mapped[int]
    commit_id: Mapped[int | None] = mapped_column(ForeignKey("commit.id", ondelete="CASCADE"), index=True)
    before_nbytes: Mapped[int | None]
    after_nbytes: Mapped[int | None]
