"""Statements over jobs and workers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from ..clock import in_seconds, now
from ..db import batches
from ..models import Blob, Job, RepoBlob, Worker

ACTIVE = ("queued", "running")


def encode_job_key(sha256: str) -> str:
    """Idempotency key: the method and the content."""
    return f"encode:{sha256}"


def add_encode_jobs(session: Session, blobs: Sequence[Blob], queue: str) -> None:
    """Ask for blobs to be encoded, those that nobody asked for yet; marks them ``encoding``.

    Called in the transaction that makes the blobs visible, so that no crash can lose the wish.
    """
    for some in batches(blobs):
        asked = set(session.scalars(select(Job.blob_id).where(Job.blob_id.in_([blob.id for blob in some]))))
        wanted = [blob for blob in some if blob.id not in asked]
        if not wanted:
            continue
        session.execute(
            insert(Job),
            [
                {
                    "key": encode_job_key(blob.sha256),
                    "queue": queue,
                    "blob_id": blob.id,
                    "state": "queued",
                    "attempt": 0,
                    "failures": 0,
                    "not_before": now(),
                    "progress_nbytes": 0,
                    "outcome": "",
                    "created_at": now(),
                }
                for blob in wanted
            ],
        )
        ids = [blob.id for blob in wanted]
        session.execute(update(Blob).where(Blob.id.in_(ids), Blob.state == "raw").values(state="encoding"))


def find_raw_blobs_without_job(session: Session, min_nbytes: int, after: int, limit: int) -> Sequence[Blob]:
    """Blobs some repo holds that are raw and that no job was ever made for, by row id after `after`."""
    statement = (
        select(Blob)
        .where(Blob.state == "raw", Blob.nbytes >= min_nbytes, Blob.id > after)
        .where(~select(Job.id).where(Job.blob_id == Blob.id).exists())
        .where(select(RepoBlob.repo_id).where(RepoBlob.blob_id == Blob.id).exists())
        .order_by(Blob.id)
        .limit(limit)
    )
    return session.scalars(statement).all()


def due_jobs(session: Session, queue: str, limit: int) -> Sequence[Job]:
    """Queued jobs whose time has come, oldest first."""
    statement = select(Job).where(Job.state == "queued", Job.queue == queue, Job.not_before <= now())
    return session.scalars(statement.order_by(Job.not_before, Job.id).limit(limit)).all()


def start_attempt(session: Session, job_id: int, attempt: int, worker_id: str) -> bool:
    """Take a queued job for its next attempt; False when somebody else has."""
    statement = (
        update(Job)
        .where(Job.id == job_id, Job.state == "queued", Job.attempt == attempt - 1)
        .values(state="running", attempt=attempt, worker_id=worker_id, progress_nbytes=0)
        .returning(Job.id)
    )
    return session.scalar(statement) is not None


def hold_attempt(session: Session, job_id: int, attempt: int, worker_id: str) -> Job | None:
    """The job, if this attempt is still the current one; notes which worker has it now."""
    statement = (
        update(Job)
        .where(Job.id == job_id, Job.state == "running", Job.attempt == attempt)
        .values(worker_id=worker_id)
        .returning(Job.id)
    )
    return session.get(Job, job_id) if session.scalar(statement) is not None else None


def set_progress(session: Session, job_id: int, attempt: int, nbytes: int) -> bool:
    """Note how far an attempt is; False when it is not the current one any more."""
    statement = (
        update(Job)
        .where(Job.id == job_id, Job.state == "running", Job.attempt == attempt)
        .values(progress_nbytes=nbytes)
        .returning(Job.id)
    )
    return session.scalar(statement) is not None


def finish_job(session: Session, job_id: int, attempt: int, outcome: str, encode_s: float | None) -> bool:
    """End a job, if this attempt is still the current one."""
    statement = (
        update(Job)
        .where(Job.id == job_id, Job.state == "running", Job.attempt == attempt)
        .values(state="done", outcome=outcome, encode_s=encode_s, finished_at=now())
        .returning(Job.id)
    )
    return session.scalar(statement) is not None


def fail_attempt(
    session: Session,
    job_id: int,
    attempt: int,
    *,
    state: str,
    failures: int,
    not_before: datetime,
    outcome: str,
) -> bool:
    """Put a job back to ``queued`` or into ``parked``, if this attempt is still the current one."""
    statement = (
        update(Job)
        .where(Job.id == job_id, Job.state == "running", Job.attempt == attempt)
        .values(
            state=state,
            failures=failures,
            not_before=not_before,
            outcome=outcome,
            finished_at=now() if state == "parked" else None,
        )
        .returning(Job.id)
    )
    return session.scalar(statement) is not None


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
        .values(state="queued", failures=0, not_before=now(), finished_at=None)
        .returning(Job.id)
    )
    return session.scalar(statement) is not None


def list_jobs(session: Session, state: str | None, after: int | None, limit: int) -> Sequence[Job]:
    """Jobs, newest first, with row ids below `after`."""
    statement = select(Job).order_by(Job.id.desc()).limit(limit)
    if state is not None:
        statement = statement.where(Job.state == state)
    if after is not None:
        statement = statement.where(Job.id < after)
    return session.scalars(statement).all()


def running_attempts(session: Session) -> Sequence[tuple[int, int]]:
    """(job, attempt) of all running jobs."""
    rows = session.execute(select(Job.id, Job.attempt).where(Job.state == "running"))
    return [(job_id, attempt) for job_id, attempt in rows]


def heartbeat(session: Session, worker_id: str, queue: str, pid: int) -> None:
    """Say that a worker lives."""
    alive = session.get(Worker, worker_id)
    if alive is None:
        session.add(Worker(id=worker_id, queue=queue, pid=pid, started_at=now(), heartbeat_at=now()))
    else:
        alive.heartbeat_at, alive.pid = now(), pid


def silent_workers(session: Session, dead_after_s: float) -> Sequence[str]:
    """Workers that have not been heard of for so long."""
    return session.scalars(select(Worker.id).where(Worker.heartbeat_at < in_seconds(-dead_after_s))).all()


def forget_worker(session: Session, worker_id: str) -> None:
    """A worker ended and its jobs are handed on."""
    session.execute(delete(Worker).where(Worker.id == worker_id))


def requeue_lost(session: Session, job_id: int, attempt: int) -> bool:
    """Queue a job again whose attempt nobody runs; False when that is not the current attempt any more."""
    statement = (
        update(Job)
        .where(Job.id == job_id, Job.state == "running", Job.attempt == attempt)
        .values(state="queued", not_before=now())
        .returning(Job.id)
    )
    return session.scalar(statement) is not None
