"""Background work."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from .fields import Answer


class Job(Answer):
    """Background work on a blob."""

    id: int
    key: str
    state: Literal["queued", "running", "done", "parked", "cancelled"]
    failures: int
    progress_nbytes: int
    outcome: str
    created_at: datetime
    finished_at: datetime | None


class JobList(Answer):
    """A page of jobs, newest first; `next` goes into ``after``."""

    items: list[Job]
    next: int | None
