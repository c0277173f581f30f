"""Statements over jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, or_, select, tuple_, update
from sqlalchemy.orm import Session, aliased

from ..accounts.principal import Principal, private_of
from ..blobs.queries import mark_encoding
from ..clock import in_seconds, now
from ..db import batches, insert_missing
from ..models import Blob, Commit, Job, Repo, RepoBlob, Variant
from ..models.jobs import BACKGROUND, ENCODE, INTERACTIVE, KINDS

ACTIVE = ("queued", "running")


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
        rows = [_encode_job(blob, queue, asked) for blob in some if blob.id not in known]
        if rows:
            insert_missing(session, Job, rows)
            mark_encoding(session, [blob_id for blob_id in ids if blob_id not in known])


def _encode_job(blob: Blob, queue: str, asked: Asked) -> dict[str, Any]:
    place = {"blob_id": blob.id, "path": asked.paths.get(blob.sha256)}
    return {**new_job(ENCODE, encode_job_key(blob.sha256), queue, asked), **place}


def new_job(kind: str, key: str, queue: str, asked: Asked) -> dict[str, Any]:
    """The columns of a job of any kind that nobody has begun."""
    return {
        "kind": kind,
        "key": key,
        "queue": queue,
        "priority": asked.priority,
        "repo": asked.repo,
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
            .where(Job.state == "queued", Job.queue == queue, Job.not_before <= now(), Job.kind.in_(KINDS))
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


def cancel_job(session: Session, job_id: int, by: str) -> bool:
    """Stop a queued or running job; the worker notices at its next progress note.

    The blob stays as it is; False when there is no such job.
    """
    statement = (
        update(Job)
        .where(Job.id == job_id, Job.state.in_(ACTIVE))
        .values(state="cancelled", outcome=f"cancelled by {by}", finished_at=now())
        .returning(Job.id)
    )
    return session.scalar(statement) is not None


def retry_job(session: Session, job_id: int) -> bool:
    """Queue a parked or cancelled job again, from a clean slate."""
    return _queue_again(session, job_id, ("parked", "cancelled"))


def begin_again(session: Session, job_id: int) -> bool:
    """Queue a job again that has ended, however it did, from a clean slate."""
    return _queue_again(session, job_id, ("done", "parked", "cancelled"))


def _queue_again(session: Session, job_id: int, states: Sequence[str]) -> bool:
    statement = (
        update(Job)
        .where(Job.id == job_id, Job.state.in_(states))
        .values(state="queued", failures=0, handovers=0, not_before=now(), finished_at=None)
        .returning(Job.id)
    )
    return session.scalar(statement) is not None


@dataclass(frozen=True, slots=True)
class FoundJob:
    """A job with what it is on: a blob, or a variant with the ids of the commits it is made of and has become."""

    job: Job
    blob: Blob | None
    variant: Variant | None
    source: str | None
    made: str | None


def list_jobs(
    session: Session, caller: Principal, state: str | None, after: int | None, limit: int
) -> Sequence[FoundJob]:
    """Jobs, newest first, with row ids below `after`; those in the caller's view."""
    statement = found_jobs().where(*_in_view(caller)).order_by(Job.id.desc()).limit(limit)
    if state is not None:
        statement = statement.where(Job.state == state)
    if after is not None:
        statement = statement.where(Job.id < after)
    return [FoundJob(*row) for row in session.execute(statement)]


def find_job(session: Session, caller: Principal, job_id: int) -> FoundJob | None:
    """A job, if it is in the caller's view."""
    found = session.execute(found_jobs().where(Job.id == job_id, *_in_view(caller))).one_or_none()
    return None if found is None else FoundJob(*found)


def found_jobs() -> Select[Job, Blob, Variant, str, str]:
    """Rows for `FoundJob`."""
    source, made = aliased(Commit), aliased(Commit)
    return (
        select(Job, Blob, Variant, source.digest, made.digest)
        .outerjoin(Blob, Blob.id == Job.blob_id)
        .outerjoin(Variant, Variant.job_id == Job.id)
        .outerjoin(source, source.id == Variant.source_id)
        .outerjoin(made, made.id == Variant.commit_id)
    )


def _in_view(caller: Principal) -> list[ColumnElement[bool]]:
    """Jobs on content or revisions of a repo of the caller's, or of its organizations; all for an admin."""
    if caller.sees_all:
        return []
    own = select(Repo.id).where(private_of(caller))
    held = select(RepoBlob.blob_id).where(RepoBlob.repo_id.in_(own))
    return [or_(Job.blob_id.in_(held), Variant.repo_id.in_(own))]


def find_variant_repo(session: Session, job_id: int) -> Repo | None:
    """The repo that a job makes a variant in."""
    statement = select(Repo).join(Variant, Variant.repo_id == Repo.id).where(Variant.job_id == job_id)
    return session.scalar(statement.where(Repo.deleted_at.is_(None)))


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
