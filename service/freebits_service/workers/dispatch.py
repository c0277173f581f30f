"""Keep the engine supplied with jobs and the jobs supplied with workers."""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog

from ..context import Hub
from ..jobs import queries
from .engine import Engine

log = structlog.get_logger()
AHEAD = 64  # attempts handed to the engine before they can start
ADOPT_AT_ONCE = 500


@dataclass(slots=True)
class Dispatcher:
    """What a worker does between jobs; every worker of a queue may do it, at the same time."""

    hub: Hub
    engine: Engine
    queue: str
    worker_id: str
    _handed: set[tuple[int, int]] = field(default_factory=set)

    def adopt_forgotten(self) -> int:
        """Make jobs for committed raw blobs that never had one (the settings changed, or an old hub); how many."""
        adopted = last = 0
        while True:
            with self.hub.db.transaction() as session:
                blobs = queries.find_raw_blobs_without_job(
                    session, self.hub.settings.encode_min_nbytes, last, ADOPT_AT_ONCE
                )
                queries.add_encode_jobs(session, blobs, self.queue)
            adopted += len(blobs)
            if len(blobs) < ADOPT_AT_ONCE:
                return adopted
            last = blobs[-1].id

    def dispatch(self) -> None:
        """Hand the next attempt of each due job to the engine."""
        with self.hub.db.snapshot() as session:
            due = {(job.id, job.attempt + 1) for job in queries.due_jobs(session, self.queue, AHEAD)}
        for job_id, attempt in sorted(due - self._handed):
            self.engine.enqueue(job_id, attempt)
        self._handed = due

    def take_over(self) -> None:
        """Hand on what silent workers were at, and queue again what the engine has lost."""
        with self.hub.db.snapshot() as session:
            silent = queries.silent_workers(session, self.hub.settings.worker_dead_after_s)
            running = queries.running_attempts(session)
        dead = [worker_id for worker_id in silent if worker_id != self.worker_id]
        if dead:
            log.warning("workers are silent; their jobs are handed on", workers=dead)
            self.engine.hand_on(dead)
            with self.hub.db.transaction() as session:
                for worker_id in dead:
                    queries.forget_worker(session, worker_id)
        lost = [attempt for attempt in running if not self.engine.is_pending(*attempt)]
        for job_id, attempt in lost:
            with self.hub.db.transaction() as session:
                if queries.requeue_lost(session, job_id, attempt):
                    log.warning("the engine had lost a job; queued again", job_id=job_id, attempt=attempt)

    def beat(self, pid: int) -> None:
        """Say that this worker lives."""
        with self.hub.db.transaction() as session:
            queries.heartbeat(session, self.worker_id, self.queue, pid)
