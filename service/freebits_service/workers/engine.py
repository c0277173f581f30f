"""The engine for durable steps: the only module that knows DBOS Transact.

The engine records each step that ended, and after a crash goes on with the next one. Which jobs there are, who
has them, and what became of them, say our own ``job`` rows; if the engine's database is lost, the jobs are simply
queued again. Another engine would have to offer the functions below and nothing else.

Its own queues are not used to find work: they would be asked every fraction of a second by every worker, and know
no priority that we could change later. Only what dead workers were at passes through its internal queue.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Collection, Sequence

import structlog
from dbos import DBOS, DBOSConfig, SetWorkflowID, WorkflowHandle
from sqlalchemy.exc import InterfaceError, OperationalError

from ..db import normalized_url
from ..errors import DatabaseUnavailable
from ..settings import Settings
from .encode import EncodeSteps

# Recovery only takes up jobs of the same version: raise it when the steps change their meaning.
STEPS_VERSION = "2"
CONNECTIONS = 3
MAX_RECOVERIES = 1_000_000  # the `job` row counts handovers, and parks; the engine must not give up before
Attempt = tuple[int, int]  # a job's id, and the number of the attempt
log = structlog.get_logger()
AWAY = (InterfaceError, OperationalError)  # of the engine's database; the hub's own raises DatabaseUnavailable
ENDED = frozenset({"SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"})


class Engine:
    """Runs the steps of encoding durably for one worker process; there can be one per process."""

    def __init__(self, settings: Settings, steps: EncodeSteps) -> None:
        """Raises DatabaseUnavailable, and leaves nothing behind: it may be made again."""
        self.idle = threading.Event()
        self._lock = threading.Lock()
        self._running: Counter[Attempt] = Counter()
        self.idle.set()
        config: DBOSConfig = {
            "name": "freebits",
            "system_database_url": normalized_url(settings.engine_sqlalchemy_url),
            "dbos_system_schema": settings.engine_schema,
            "executor_id": steps.worker_id,
            "application_version": STEPS_VERSION,
            "log_level": "WARNING",
            "use_listen_notify": False,
            "sys_db_pool_size": CONNECTIONS,
        }
        DBOS(config=config)
        self._workflow = DBOS.workflow(name="encode", max_recovery_attempts=MAX_RECOVERIES)(self._workflow_over(steps))
        DBOS.listen_queues([])
        try:
            DBOS.launch()
        except AWAY as error:
            DBOS.destroy(destroy_registry=True)
            raise DatabaseUnavailable(f"the engine's database does not answer: {str(error)[:200]}") from error
        _log_like_the_rest()

    def start(self, job_id: int, attempt: int) -> None:
        """Run an attempt in this process, in a thread of its own; asking again changes nothing."""
        # From now on, not when the thread gets to run: an idle worker would take another job.
        self._begun((job_id, attempt))
        try:
            with SetWorkflowID(_name(job_id, attempt)):
                handle = DBOS.start_workflow(self._workflow, job_id, attempt)
        except BaseException:
            self._ended((job_id, attempt))
            raise
        threading.Thread(target=self._await_end, args=((job_id, attempt), handle), daemon=True).start()

    def running(self) -> set[Attempt]:
        """The attempts that this process is at; one is among them before its row says whose it is."""
        with self._lock:
            return set(self._running)

    def _await_end(self, attempt: Attempt, handle: WorkflowHandle[None]) -> None:
        try:
            handle.get_result()
        except Exception as error:  # cancelled, another worker's by now, or the engine's database went away
            log.info("an attempt ended early", error=str(error)[:200])
        finally:
            self._ended(attempt)

    def cancel(self, job_id: int, attempt: int) -> None:
        """Do no further step of an attempt."""
        DBOS.cancel_workflow(_name(job_id, attempt))

    def pending(self, attempts: Collection[Attempt]) -> set[Attempt]:
        """Those of the attempts that the engine will still do something about."""
        names = {_name(*attempt): attempt for attempt in attempts}
        if not names:
            return set()
        found = DBOS.list_workflows(workflow_ids=list(names), load_input=False, load_output=False)
        return {names[status.workflow_id] for status in found if status.status not in ENDED}

    def hand_on(self, dead_worker_ids: Sequence[str]) -> None:
        """Have the attempts that dead workers were at go on, at their next step, on some living one.

        The public way (`resume_workflow`) would forget how often an attempt was recovered.
        """
        DBOS._recover_pending_workflows(list(dead_worker_ids))

    def _workflow_over(self, steps: EncodeSteps):  # type: ignore[no-untyped-def]
        def encode(job_id: int, attempt: int) -> None:
            self._begun((job_id, attempt))
            try:
                with steps.held(job_id, attempt) as is_ours:
                    if is_ours:
                        _run_steps(steps, job_id, attempt)
            finally:
                self._ended((job_id, attempt))

        return encode

    def _begun(self, attempt: Attempt) -> None:
        with self._lock:
            self._running[attempt] += 1
            self.idle.clear()

    def _ended(self, attempt: Attempt) -> None:
        with self._lock:
            self._running[attempt] -= 1
            self._running = +self._running
            if not self._running:
                self.idle.set()


def _run_steps(steps: EncodeSteps, job_id: int, attempt: int) -> None:
    try:
        container = DBOS.run_step({"name": "encode"}, steps.encode, job_id, attempt)
        if container is not None:
            DBOS.run_step({"name": "verify"}, steps.verify, job_id, attempt, container)
            DBOS.run_step({"name": "swap"}, steps.swap, job_id, attempt, container)
    except AWAY:  # the engine could not record a step: that fails no job, which is queued again instead
        raise
    except Exception as error:  # the one broad except: whatever went wrong is the end of this attempt
        DBOS.run_step({"name": "record_failure"}, steps.record_failure, job_id, attempt, error)


def _name(job_id: int, attempt: int) -> str:
    return f"encode-{job_id}-{attempt}"


def _log_like_the_rest() -> None:
    logger = logging.getLogger("dbos")
    logger.handlers = []
    logger.propagate = True
