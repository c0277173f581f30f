"""Work wanted, and who does it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from .tables import Base, BigId, PathText

ENCODE, VARIANT = "encode", "variant"
KINDS = (ENCODE, VARIANT)  # a worker takes none that it does not know: those of a later release wait for its workers
INTERACTIVE = 0  # somebody pushed and waits
BACKGROUND = 100  # encoding what has been lying there


class Job(Base):
    """Work wanted on a blob (`kind` ``encode``), or on a revision (``variant``: what of it is a row of `Variant`).

    `key`, made of what is wanted and on what, makes asking twice the same as asking once.

    `state`: ``queued`` -> ``running`` -> ``done`` | ``parked`` | ``cancelled``; a failed attempt goes back to
    ``queued`` with a later `not_before`. Lower `priority` goes first, then the older job. Only `worker_id` may
    finish `attempt`; `handovers` counts the workers that died over it. `repo`, `path` and `request_id` are of the
    commit that asked first.
    """

    __tablename__ = "job"
    __table_args__ = (
        Index("ix_job_state_not_before", "state", "not_before"),
        Index("ix_job_due", "state", "queue", "priority", "id"),
        Index("ix_job_state_id", "state", "id"),
    )
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key: Mapped[str] = mapped_column(String(128), unique=True)
    kind: Mapped[str] = mapped_column(String(16), server_default=ENCODE)
    queue: Mapped[str] = mapped_column(String(32))
    priority: Mapped[int] = mapped_column(Integer, server_default=str(INTERACTIVE))
    blob_id: Mapped[int | None] = mapped_column(ForeignKey("blob.id", ondelete="CASCADE"), index=True)
    repo: Mapped[str | None] = mapped_column(String(200))
    path: Mapped[str | None] = mapped_column(PathText)
    request_id: Mapped[str | None] = mapped_column(String(64))
    trace_parent: Mapped[str | None] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[int] = mapped_column(Integer)
    failures: Mapped[int] = mapped_column(Integer)
    handovers: Mapped[int] = mapped_column(Integer, server_default="0")
    not_before: Mapped[datetime]
    worker_id: Mapped[str | None] = mapped_column(String(64))
    progress_nbytes: Mapped[int]
    outcome: Mapped[str] = mapped_column(Text)
    encode_s: Mapped[float | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Worker(Base):
    """A worker process and when it was last heard of; `queue` names those it serves, with commas between."""

    __tablename__ = "worker"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    queue: Mapped[str] = mapped_column(String(32))
    host: Mapped[str | None] = mapped_column(String(255))
    device: Mapped[str | None] = mapped_column(String(32))
    pid: Mapped[int]
    started_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime]
