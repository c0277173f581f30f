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
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import structlog
from dbos import DBOS, DBOSConfig, SetWorkflowID, WorkflowHandle
from sqlalchemy.exc import InterfaceError, OperationalError

from ..db import normalized_url
from ..errors import DatabaseUnavailable
from ..settings import Settings
from .attempts import Attempts, Durably

# Recovery only takes up jobs of the same version: raise it when the steps change their meaning.
STEPS_VERSION = "2"
CONNECTIONS = 3
MAX_RECOVERIES = 1_000_000  # the `job` row counts handovers, and parks; the engine must not give up before
Attempt = tuple[int, int]  # a job's id, and the number of the attempt
log = structlog.get_logger()
T = TypeVar("T")
AWAY = (InterfaceError, OperationalError)  # of the engine's database; the hub's own raises DatabaseUnavailable
ENDED = frozenset({"SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"})


class Steps(Protocol):
    """The steps of jobs of one kind."""

    def run(self, durably: Durably, job_id: int, attempt: int) -> None:
        """All of an attempt that is this worker's, each by `durably`."""
        ...


class Engine:
    """Runs the steps of jobs durably for one worker process; there can be one per process."""

    def __init__(self, settings: Settings, attempts: Attempts, steps: Mapping[str, Steps]) -> None:
        """`steps` by the kind of job. Raises DatabaseUnavailable, and leaves nothing behind: it may be made again."""
        self.idle = threading.Event()
        self._lock = threading.Lock()
        self._running: Counter[Attempt] = Counter()
        self.idle.set()
        config: DBOSConfig = {
            "name": "freebits",
            "system_database_url": normalized_url(settings.engine_sqlalchemy_url),
            "dbos_system_schema": settings.engine_schema,
            "executor_id": attempts.worker_id,
            "application_version": STEPS_VERSION,
            "log_level": "WARNING",
            "use_listen_notify": False,
            "sys_db_pool_size": CONNECTIONS,
        }
        DBOS(config=config)
        # Of whatever kind; the name is that of the first one, under which earlier releases began attempts.
        workflow = self._workflow_over(attempts, steps)
        self._workflow = DBOS.workflow(name="encode", max_recovery_attempts=MAX_RECOVERIES)(workflow)
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

    def _workflow_over(self, attempts: Attempts, steps: Mapping[str, Steps]) -> Callable[[int, int], None]:
        def run(job_id: int, attempt: int) -> None:
            self._begun((job_id, attempt))
            try:
                with attempts.held(job_id, attempt) as kind:
                    if kind is not None:
                        _run_steps(attempts, steps[kind], job_id, attempt)
            finally:
                self._ended((job_id, attempt))

        return run

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


def _run_steps(attempts: Attempts, steps: Steps, job_id: int, attempt: int) -> None:
    try:
        steps.run(_durably, job_id, attempt)
    except AWAY:  # the engine could not record a step: that fails no job, which is queued again instead
        raise
    except Exception as error:  # the one broad except: whatever went wrong is the end of this attempt
        _durably("record_failure", attempts.record_failure, job_id, attempt, error)


def _durably(name: str, step: Callable[..., T], *arguments: Any) -> T:
    return DBOS.run_step({"name": name}, step, *arguments)


def _name(job_id: int, attempt: int) -> str:
    return f"encode-{job_id}-{attempt}"


def _log_like_the_rest() -> None:
    logger = logging.getLogger("dbos")
    logger.handlers = []
    logger.propagate = True
