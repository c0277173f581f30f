"""Background work and who does it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from .fields import Answer, CommitId


class JobVariant(Answer):
    """What a job makes: `method` of commit `source` as the head of `branch`; `commit` is what was made of it last."""

    method: str
    parameters: dict[str, Any]
    source: CommitId
    branch: str
    author: str
    commit: CommitId | None


class Job(Answer):
    """Background work on `nbytes` bytes: of a blob, or of the files of a revision (`kind` ``variant``).

    `repo` and `path` are null where the caller may not read them; for a variant `sha256` is empty and `path` null.
    Lower `priority` goes first; `outcome` is what became of the last attempt that ended.
    """

    id: int
    kind: Literal["encode", "variant"]
    key: str
    sha256: str
    nbytes: int
    repo: str | None
    path: str | None
    queue: str
    priority: int
    state: Literal["queued", "running", "done", "parked", "cancelled"]
    attempt: int
    failures: int
    handovers: int
    worker: str | None
    progress_nbytes: int
    outcome: str
    request_id: str | None
    created_at: datetime
    not_before: datetime
    started_at: datetime | None
    finished_at: datetime | None
    variant: JobVariant | None


class JobList(Answer):
    """A page of jobs, newest first; `next` goes into ``after``."""

    items: list[Job]
    next: int | None


class Worker(Answer):
    """A worker process; `alive` unless it was not heard of for too long. `job` is what it is at."""

    id: str
    host: str | None
    pid: int
    device: str | None
    queues: list[str]
    started_at: datetime
    heartbeat_at: datetime
    alive: bool
    job: int | None


class WorkerList(Answer):
    """All workers, the oldest first."""

    items: list[Worker]
