"""What a worker does between its jobs: take the next one, say that it lives, hand on what dead ones were at."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import partial

import structlog
from sqlalchemy.orm import Session

from ..context import Hub
from ..jobs import queries, worker_rows
from ..models.jobs import BACKGROUND
from .engine import Engine

log = structlog.get_logger()
ADOPT_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """Who a worker is: an id that no other process ever has, where it runs, and the queues it serves in order."""

    id: str
    host: str
    pid: int
    device: str
    queues: tuple[str, ...]


@dataclass(slots=True)
class Dispatcher:
    """Every worker has one; those duties that one worker is enough for fall to the oldest that lives."""

    hub: Hub
    engine: Engine
    me: WorkerIdentity
    _claiming: threading.Lock = field(default_factory=threading.Lock)
    _stopped: bool = False

    def dispatch(self) -> bool:
        """Take the next due job, if this worker is at none; whether it took one."""
        if not self.engine.idle.is_set():
            return False
        with self._claiming:
            if self._stopped:
                return False
            job = self.hub.db.run(lambda session: queries.claim_job(session, self.me.queues, self.me.id))
            if job is not None:
                self.engine.start(job.id, job.attempt)
        return job is not None

    def hand_back(self) -> None:
        """Take no more jobs and release the one that is running: somebody else begins it again at once."""
        with self._claiming:
            self._stopped = True
        released = self.hub.db.run(lambda session: queries.release_attempts(session, self.me.id))
        for job_id, attempt in released:
            log.info("a job is handed back", job_id=job_id, attempt=attempt)
            self.engine.cancel(job_id, attempt)

    def beat(self) -> None:
        """Say that this worker lives."""
        self.hub.db.run(lambda session: worker_rows.heartbeat(session, self.me))

    def take_over(self) -> None:
        """Hand on what dead workers were at, and queue again what the engine has lost."""
        self._requeue_own()
        if self.leads():
            self.bury(self.hub.db.run(lambda session: worker_rows.dead_workers(session, self._dead_after_s)))
            self._requeue_lost()

    def bury(self, dead: list[str]) -> None:
        """Free the jobs of dead workers and have the engine go on with them."""
        dead = [worker_id for worker_id in dead if worker_id != self.me.id]
        if not dead:
            return
        limit = self.hub.settings.job_max_handovers
        freed, parked = self.hub.db.run(lambda session: worker_rows.bury_workers(session, dead, limit))
        log.warning("workers are silent; their jobs are handed on", workers=dead, jobs=freed, parked=parked)
        self.engine.hand_on(dead)

    def adopt_forgotten(self) -> int:
        """Make jobs for committed raw blobs that never had one (the settings changed, or an old hub); how many."""
        adopted, last = 0, (self.hub.settings.encode_min_nbytes, 0)
        while self.leads():
            last, found = self.hub.db.run(partial(self._adopt_some, after=last))
            adopted += found
            if found < ADOPT_AT_ONCE:
                break
        return adopted

    def leads(self) -> bool:
        """Whether this worker is the one that does what one is enough for. Two for a moment do no harm."""
        with self.hub.db.snapshot() as session:
            return worker_rows.oldest_worker(session, self._dead_after_s) == self.me.id

    @property
    def _dead_after_s(self) -> float:
        return self.hub.settings.worker_dead_after_s

    def _requeue_own(self) -> None:
        """Attempts that the rows give to this worker and that it is not at: the engine's database broke them off."""
        with self._claiming:  # else one that was claimed and is about to be started would be among them
            with self.hub.db.snapshot() as session:
                held = queries.attempts_of(session, self.me.id)
            for job_id, attempt in set(held) - self.engine.running():
                if self.hub.db.run(partial(queries.requeue_attempt, job_id=job_id, attempt=attempt)):
                    log.warning("an attempt was broken off; queued again", job_id=job_id, attempt=attempt)

    def _requeue_lost(self) -> None:
        """Jobs that run for a while and that the engine knows nothing of (its database was lost, or a fresh claim)."""
        with self.hub.db.snapshot() as session:
            running = queries.running_attempts(session, self._dead_after_s)
        pending = self.engine.pending(running)
        for job_id, attempt in running:
            if (job_id, attempt) not in pending and self.hub.db.run(
                partial(queries.requeue_attempt, job_id=job_id, attempt=attempt)
            ):
                log.warning("the engine had lost a job; queued again", job_id=job_id, attempt=attempt)

    def _adopt_some(self, session: Session, after: tuple[int, int]) -> tuple[tuple[int, int], int]:
        blobs = queries.find_raw_blobs_without_job(session, after, ADOPT_AT_ONCE)
        last = (blobs[-1].nbytes, blobs[-1].id) if blobs else after
        by_row = sorted(blobs, key=lambda blob: blob.id)
        queries.add_encode_jobs(session, by_row, self.hub.settings.encode_queue, queries.Asked(priority=BACKGROUND))
        return last, len(blobs)
