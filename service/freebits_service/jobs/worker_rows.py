"""Statements over workers: who lives, who is dead, and what the dead were at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from ..blobs.queries import settle_raw
from ..clock import in_seconds, now
from ..models import Job, Worker


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
