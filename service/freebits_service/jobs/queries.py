"""Statements over jobs and workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import ColumnElement, delete, exists, or_, select, tuple_, update
from sqlalchemy.orm import Session

from ..accounts.principal import Principal, private_of
from ..blobs.queries import mark_encoding, settle_raw
from ..clock import in_seconds, now
from ..db import batches, insert_missing
from ..models import Blob, Job, Repo, RepoBlob, Worker
from ..models.jobs import BACKGROUND, INTERACTIVE

ACTIVE = ("queued", "running")


class WorkerRow(Protocol):
    """What a worker says of itself."""

    @property
    def id(self) -> str: ...
    @property
    def queues(self) -> Sequence[str]: ...
    @property
    def host(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def pid(self) -> int: ...


def encode_job_key(sha256: str) -> str:
    """Idempotency key: the method and the content."""
    return f"encode:{sha256}"


@dataclass(frozen=True, slots=True)
class Asked:
    """Where a wish for jobs came from: repo, request, its trace, and a path for each digest."""

    repo: str | None = None
    request_id: str | None = None
    trace_parent: str | None = None
    paths: Mapping[str, str] = field(default_factory=dict)
    priority: int = INTERACTIVE


def add_encode_jobs(session: Session, blobs: Sequence[Blob], queue: str, asked: Asked) -> None:
    """Ask for blobs (sorted by row) to be encoded, those that nobody asked for yet; marks them ``encoding``.

    Called in the transaction that makes the blobs visible, so that no crash can lose the wish.
    """
    for some in batches(blobs):
        ids = [blob.id for blob in some]
        known = set(session.scalars(select(Job.blob_id).where(Job.blob_id.in_(ids))))
        rows = [_new_job(blob, queue, asked) for blob in some if blob.id not in known]
        if rows:
            insert_missing(session, Job, rows)
            mark_encoding(session, [blob_id for blob_id in ids if blob_id not in known])


def _new_job(blob: Blob, queue: str, asked: Asked) -> dict[str, Any]:
    return {
        "key": encode_job_key(blob.sha256),
        "queue": queue,
        "priority": asked.priority,
        "blob_id": blob.id,
        "repo": asked.repo,
        "path": asked.paths.get(blob.sha256),
        "request_id": asked.request_id,
        "trace_parent": asked.trace_parent,
        "state": "queued",
        "attempt": 0,
        "failures": 0,
        "not_before": now(),
        "progress_nbytes": 0,
        "outcome": "",
        "created_at": now(),
    }


def encode_again(session: Session, blob: Blob, queue: str) -> None:
    """Have a raw blob encoded, also if that was done, given up or cancelled before."""
    asked_again = (
        update(Job)
        .where(Job.blob_id == blob.id, Job.state.not_in(ACTIVE))
        .values(state="queued", failures=0, handovers=0, not_before=now(), outcome="", finished_at=None)
    )
    session.execute(asked_again)
    add_encode_jobs(session, [blob], queue, Asked(priority=BACKGROUND))
    mark_encoding(session, [blob.id])


def find_raw_blobs_without_job(session: Session, after: tuple[int, int], limit: int) -> Sequence[Blob]:
    """Blobs some repo holds that are raw and that no job was ever made for, by size and row, behind `after`.

    In this order an index leads past the many that are raw because they are small.
    """
    statement = (
        select(Blob)
        .where(Blob.state == "raw", tuple_(Blob.nbytes, Blob.id) > tuple_(*after))
        .where(~select(Job.id).where(Job.blob_id == Blob.id).exists())
        .where(select(RepoBlob.repo_id).where(RepoBlob.blob_id == Blob.id).exists())
        .order_by(Blob.nbytes, Blob.id)
        .limit(limit)
    )
    return session.scalars(statement).all()


def claim_job(session: Session, queues: Sequence[str], worker_id: str) -> Job | None:
    """Take the next due job for its next attempt: the first queue with one, lowest priority number, oldest.

    Workers that ask at the same moment pass over each other's rows instead of waiting (on SQLite they take turns).
    """
    for queue in queues:
        due = (
            select(Job.id)
            .where(Job.state == "queued", Job.queue == queue, Job.not_before <= now())
            .order_by(Job.priority, Job.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        claim = (
            update(Job)
            .where(Job.id == due.scalar_subquery(), Job.state == "queued")
            .values(state="running", attempt=Job.attempt + 1, worker_id=worker_id, progress_nbytes=0, started_at=now())
            .returning(Job)
        )
        job = session.scalar(claim)
        if job is not None:
            return job
    return None


def adopt_attempt(session: Session, job_id: int, attempt: int, worker_id: str) -> Job | None:
    """The job, if the attempt is this worker's, or was taken from a dead one and is from now on."""
    mine = or_(Job.worker_id == worker_id, Job.worker_id.is_(None))
    statement = update(Job).where(*_running(job_id, attempt), mine).values(worker_id=worker_id).returning(Job)
    return session.scalar(statement)


def hold_attempt(session: Session, job_id: int, attempt: int, worker_id: str) -> Job | None:
    """The job, if the attempt is this worker's; nobody else gets it before this transaction ends."""
    statement = select(Job).where(*_running(job_id, attempt), Job.worker_id == worker_id)
    return session.scalar(statement.with_for_update())


def set_progress(session: Session, job_id: int, attempt: int, worker_id: str, nbytes: int) -> bool:
    """Note how far an attempt is; False when it is not this worker's any more."""
    statement = (
        update(Job)
        .where(*_running(job_id, attempt), Job.worker_id == worker_id)
        .values(progress_nbytes=nbytes)
        .returning(Job.id)
    )
    return session.scalar(statement) is not None


def _running(job_id: int, attempt: int) -> tuple[ColumnElement[bool], ...]:
    return Job.id == job_id, Job.state == "running", Job.attempt == attempt


def finish_job(session: Session, job: Job, outcome: str, encode_s: float | None) -> None:
    """End a job that is held."""
    job.state, job.outcome, job.encode_s, job.finished_at = "done", outcome, encode_s, now()


def fail_attempt(session: Session, job: Job, *, parks: bool, failures: int, not_before: datetime, outcome: str) -> None:
    """Put a job that is held back to ``queued``, or into ``parked``."""
    job.state, job.failures, job.not_before = ("parked" if parks else "queued"), failures, not_before
    job.outcome, job.finished_at, job.worker_id = outcome, (now() if parks else None), None


def release_attempts(session: Session, worker_id: str) -> Sequence[tuple[int, int]]:
    """Queue again, to be begun at once, what a worker that ends is at: (job, attempt) of each. No failure."""
    statement = (
        update(Job)
        .where(Job.state == "running", Job.worker_id == worker_id)
        .values(state="queued", worker_id=None, not_before=now())
        .returning(Job.id, Job.attempt)
    )
    return [(job_id, attempt) for job_id, attempt in session.execute(statement)]


def cancel_jobs_of_blob(session: Session, blob_id: int, outcome: str) -> None:
    """Nobody needs the blob encoded any more."""
    session.execute(
        update(Job)
        .where(Job.blob_id == blob_id, Job.state.in_(ACTIVE))
        .values(state="cancelled", outcome=outcome, finished_at=now())
    )


def cancel_job(session: Session, job_id: int) -> bool:
    """Stop a queued or running job; the worker notices at its next progress note.

    The blob stays as it is; False when there is no such job.
    """
    statement = (
        update(Job)
        .where(Job.id == job_id, Job.state.in_(ACTIVE))
        .values(state="cancelled", outcome="cancelled by an admin", finished_at=now())
        .returning(Job.id)
    )
    return session.scalar(statement) is not None


def retry_job(session: Session, job_id: int) -> bool:
    """Queue a parked or cancelled job again, from a clean slate."""
    statement = (
        update(Job)
        .where(Job.id == job_id, Job.state.in_(("parked", "cancelled")))
        .values(state="queued", failures=0, handovers=0, not_before=now(), finished_at=None)
        .returning(Job.id)
    )
    return session.scalar(statement) is not None


def list_jobs(
    session: Session, caller: Principal, state: str | None, after: int | None, limit: int
) -> Sequence[tuple[Job, Blob]]:
    """Jobs with their blobs, newest first, with row ids below `after`; those in the caller's view."""
    statement = select(Job, Blob).join(Blob, Blob.id == Job.blob_id).where(*_in_view(caller))
    statement = statement.order_by(Job.id.desc()).limit(limit)
    if state is not None:
        statement = statement.where(Job.state == state)
    if after is not None:
        statement = statement.where(Job.id < after)
    return [(job, blob) for job, blob in session.execute(statement)]


def find_job(session: Session, caller: Principal, job_id: int) -> tuple[Job, Blob] | None:
    """A job with its blob, if it is in the caller's view."""
    statement = select(Job, Blob).join(Blob, Blob.id == Job.blob_id)
    found = session.execute(statement.where(Job.id == job_id, *_in_view(caller))).one_or_none()
    return None if found is None else (found[0], found[1])


def _in_view(caller: Principal) -> list[ColumnElement[bool]]:
    """Jobs on content that a repo of the caller's, or of its organizations, holds; all for an admin."""
    if caller.sees_all:
        return []
    held = select(RepoBlob.blob_id).join(Repo, Repo.id == RepoBlob.repo_id).where(private_of(caller))
    return [Job.blob_id.in_(held)]


def running_attempts(session: Session, for_at_least_s: float) -> Sequence[tuple[int, int]]:
    """(job, attempt) of the jobs that have been running for so long."""
    since = or_(Job.started_at.is_(None), Job.started_at < in_seconds(-for_at_least_s))
    rows = session.execute(select(Job.id, Job.attempt).where(Job.state == "running", since))
    return [(job_id, attempt) for job_id, attempt in rows]


def attempts_of(session: Session, worker_id: str) -> Sequence[tuple[int, int]]:
    """(job, attempt) of the jobs that a worker is at."""
    rows = session.execute(select(Job.id, Job.attempt).where(Job.state == "running", Job.worker_id == worker_id))
    return [(job_id, attempt) for job_id, attempt in rows]


def requeue_attempt(session: Session, job_id: int, attempt: int) -> bool:
    """Queue a job again whose attempt nobody runs; False when that is not the current attempt any more."""
    statement = (
        update(Job)
        .where(*_running(job_id, attempt))
        .values(state="queued", worker_id=None, not_before=now())
        .returning(Job.id)
    )
    return session.scalar(statement) is not None


def heartbeat(session: Session, me: WorkerRow) -> None:
    """Say that a worker lives. One small update: the moment is in no index, so the row stays where it is."""
    alive = update(Worker).where(Worker.id == me.id).values(heartbeat_at=now()).returning(Worker.id)
    if session.scalar(alive) is None:
        row = Worker(id=me.id, queue=",".join(me.queues), host=me.host, device=me.device, pid=me.pid)
        row.started_at = row.heartbeat_at = now()
        session.add(row)


def list_workers(session: Session) -> Sequence[tuple[Worker, int | None]]:
    """All workers, the oldest first, each with the job it is at."""
    statement = select(Worker, Job.id).outerjoin(Job, (Job.worker_id == Worker.id) & (Job.state == "running"))
    rows = session.execute(statement.order_by(Worker.started_at, Worker.id))
    return [(worker, job_id) for worker, job_id in rows]


def oldest_worker(session: Session, dead_after_s: float) -> str | None:
    """The id of the worker that lives for the longest time."""
    living = select(Worker.id).where(Worker.heartbeat_at >= in_seconds(-dead_after_s))
    return session.scalar(living.order_by(Worker.started_at, Worker.id).limit(1))


def workers_named(session: Session, prefix: str) -> list[str]:
    """The workers whose ids begin so."""
    return list(session.scalars(select(Worker.id).where(Worker.id.startswith(prefix, autoescape=True))))


def dead_workers(session: Session, dead_after_s: float) -> list[str]:
    """Workers that have not been heard of for so long, and those that hold a job and are not known at all."""
    silent = select(Worker.id).where(Worker.heartbeat_at < in_seconds(-dead_after_s))
    unknown = select(Job.worker_id).where(
        Job.state == "running", Job.worker_id.is_not(None), ~exists().where(Worker.id == Job.worker_id)
    )
    return [worker_id for worker_id in session.scalars(silent.union(unknown)) if worker_id is not None]


def bury_workers(session: Session, worker_ids: Sequence[str], max_handovers: int) -> tuple[int, int]:
    """Forget dead workers and free their jobs, for whoever the engine gives them to next; a job that was freed too
    often is parked instead. How many jobs were freed, how many parked."""
    session.execute(delete(Worker).where(Worker.id.in_(worker_ids)))
    held = select(Job).where(Job.state == "running", Job.worker_id.in_(worker_ids)).order_by(Job.id)
    jobs = session.scalars(held.with_for_update()).all()
    for job in jobs:
        job.handovers, job.worker_id = job.handovers + 1, None
        if job.handovers >= max_handovers:
            job.state, job.finished_at = "parked", now()
            job.outcome = f"WorkerDied: the worker ended {job.handovers} times in the middle of this job"
            settle_raw(session, job.blob_id)
    parked = sum(job.state == "parked" for job in jobs)
    return len(jobs) - parked, parked


def forget_worker(session: Session, worker_id: str) -> None:
    """A worker ended in good order."""
    session.execute(delete(Worker).where(Worker.id == worker_id))
