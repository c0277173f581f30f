"""What the steps of all kinds of jobs have in common: whose an attempt is, how far it is, what a failure does to it.

An attempt belongs to the worker that its row names, and every statement about it says so (``WHERE attempt = ...
AND worker_id = ...``). A worker that was taken for dead and wakes up finds that out at its next statement, and from
then on touches nothing: another one may be at the same attempt, on the same staged bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import structlog
from sqlalchemy.orm import Session

from .. import telemetry
from ..blobs.queries import settle_raw
from ..clock import in_seconds
from ..context import Hub
from ..errors import StorageFull, Unavailable
from ..jobs import queries
from ..metrics import FAILED_ATTEMPTS
from ..models import Job
from .encoder import EncoderProcess, Refused

log = structlog.get_logger()
WAITED_FOR = (StorageFull, Unavailable)  # no fault of the job: tried again without end, never parked
LONGEST_BACKOFF_S = 3600.0
LONGEST_WAIT_S = 60.0
WAIT_IN_BACKOFFS = 12
T = TypeVar("T")


class Durably(Protocol):
    """Runs a step of an attempt, or gives what it gave before if it ended before a crash."""

    def __call__(self, name: str, step: Callable[..., T], *arguments: Any) -> T: ...


@dataclass(frozen=True, slots=True)
class Attempts:
    """The attempts of one worker, at jobs of any kind."""

    hub: Hub
    encoder: EncoderProcess
    worker_id: str

    @contextmanager
    def held(self, job_id: int, attempt: int) -> Iterator[str | None]:
        """The kind of the job, if the attempt is this worker's, or nobody's and now this worker's.

        What is logged says for whom.
        """
        job = self._run(lambda session: queries.adopt_attempt(session, job_id, attempt, self.worker_id))
        request_id = job.request_id if job is not None else None
        parent = job.trace_parent if job is not None else None
        with (
            structlog.contextvars.bound_contextvars(
                job_id=job_id, attempt=attempt, worker=self.worker_id, request_id=request_id
            ),
            telemetry.span("attempt", parent, job_id=job_id, attempt=attempt, request_id=request_id or ""),
        ):
            log.info("attempt begins" if job is not None else "not ours to do")
            yield job.kind if job is not None else None

    def record_failure(self, job_id: int, attempt: int, error: Exception) -> None:
        """Queue the job again with a longer wait, or park it; what is no fault of the job is waited for."""
        state = self._run(lambda session: self._record_failure(session, job_id, attempt, error))
        if state is not None:
            FAILED_ATTEMPTS.labels(type(error).__name__).inc()
            log.warning("an attempt failed", job_id=job_id, attempt=attempt, state=state, error=str(error)[:500])

    def _run(self, work: Callable[[Session], T]) -> T:
        """A transaction that waits for a database that is away: its absence fails no job."""
        return self.hub.db.run(work, patience_s=math.inf)

    def _hold(self, session: Session, job_id: int, attempt: int) -> Job | None:
        return queries.hold_attempt(session, job_id, attempt, self.worker_id)

    def _note(self, job_id: int, attempt: int, nbytes: int) -> bool:
        return self._run(lambda session: queries.set_progress(session, job_id, attempt, self.worker_id, nbytes))

    def _record_failure(self, session: Session, job_id: int, attempt: int, error: Exception) -> str | None:
        job = self._hold(session, job_id, attempt)
        if job is None:
            return None
        failures = job.failures + (not isinstance(error, WAITED_FOR))
        is_final = failures >= self.hub.settings.job_max_attempts or isinstance(error, Refused)
        wait_s = self._wait_s(job, error)
        said = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"
        outcome = said[:2000].replace("\0", "")
        queries.fail_attempt(
            session, job, parks=is_final, failures=failures, not_before=in_seconds(wait_s), outcome=outcome
        )
        if is_final:
            settle_raw(session, job.blob_id)
        return "parked" if is_final else "queued"

    def _wait_s(self, job: Job, error: Exception) -> float:
        backoff_s = self.hub.settings.job_backoff_s
        if isinstance(error, WAITED_FOR):
            return min(WAIT_IN_BACKOFFS * backoff_s, LONGEST_WAIT_S)
        return min(backoff_s * 2.0 ** min(job.failures, 16), LONGEST_BACKOFF_S)
