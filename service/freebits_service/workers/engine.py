"""The job engine: the only module that knows DBOS Transact.

The engine makes a job's steps durable: it records each step that ended, and after a crash goes on with the
next one. What jobs there are, and what became of them, say our own ``job`` rows; if the engine's database is
lost, the jobs are simply queued again. Another engine would have to offer the functions below and nothing
else.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from dbos import DBOS, DBOSConfig, SetWorkflowID

from ..settings import Settings
from .encode import EncodeSteps

# Recovery only takes up jobs of the same version: raise it when the steps change their meaning.
STEPS_VERSION = "1"
CONCURRENT_JOBS = 8  # the engine takes at most this many per poll; the encoder process does one at a time anyway
ENDED = frozenset({"SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"})


class Engine:
    """Runs the steps of encoding durably for one worker process; there can be one per process."""

    def __init__(self, settings: Settings, steps: EncodeSteps, queue: str) -> None:
        self._queue = queue
        config: DBOSConfig = {
            "name": "freebits",
            "system_database_url": settings.engine_url,
            "executor_id": steps.worker_id,
            "application_version": STEPS_VERSION,
            "log_level": "WARNING",
        }
        DBOS(config=config)
        self._workflow = DBOS.workflow(name="encode")(_workflow_over(steps))
        DBOS.listen_queues([queue])
        DBOS.launch()
        DBOS.register_queue(queue, worker_concurrency=CONCURRENT_JOBS, polling_interval_sec=settings.job_poll_s)
        _log_like_the_rest()

    def enqueue(self, job_id: int, attempt: int) -> None:
        """Have an attempt run by some worker of the queue; asking again changes nothing."""
        with SetWorkflowID(_name(job_id, attempt)):
            DBOS.enqueue_workflow(self._queue, self._workflow, job_id, attempt)

    def cancel(self, job_id: int, attempt: int) -> None:
        """Do no further step of an attempt."""
        DBOS.cancel_workflow(_name(job_id, attempt))

    def is_pending(self, job_id: int, attempt: int) -> bool:
        """Whether the engine will still do something about an attempt."""
        status = DBOS.get_workflow_status(_name(job_id, attempt))
        return status is not None and status.status not in ENDED

    def hand_on(self, dead_worker_ids: Sequence[str]) -> None:
        """Have the attempts that dead workers were at go on, at their next step, on a living one.

        The public way (`resume_workflow`) would forget how often an attempt was recovered and leave its
        queue.
        """
        DBOS._recover_pending_workflows(list(dead_worker_ids))


def _workflow_over(steps: EncodeSteps):  # type: ignore[no-untyped-def]
    def encode(job_id: int, attempt: int) -> None:
        try:
            container = DBOS.run_step({"name": "encode"}, steps.encode, job_id, attempt)
            if container is not None:
                DBOS.run_step({"name": "verify"}, steps.verify, job_id, attempt, container)
                DBOS.run_step({"name": "swap"}, steps.swap, job_id, attempt, container)
        except Exception as error:  # the one broad except: whatever went wrong is the end of this attempt
            DBOS.run_step({"name": "record_failure"}, steps.record_failure, job_id, attempt, error)

    return encode


def _name(job_id: int, attempt: int) -> str:
    return f"encode-{job_id}-{attempt}"


def _log_like_the_rest() -> None:
    logger = logging.getLogger("dbos")
    logger.handlers = []
    logger.propagate = True
