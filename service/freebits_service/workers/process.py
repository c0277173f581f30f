"""A worker process: takes jobs, runs them, says that it lives; the oldest one also collects and hands on.

Two ways to start one: ``freebits worker`` (`workers` anywhere, on the database and store of the settings), and the
child of ``freebits serve`` (``python -m freebits_service.workers``), which ends with its parent.
"""

from __future__ import annotations

import os
import random
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from .. import telemetry
from ..collection.operations import collect_in_turn
from ..context import open_hub
from ..errors import DatabaseUnavailable, ServiceError
from ..jobs import worker_rows
from ..migrate import require_current
from ..models.jobs import ENCODE, VARIANT
from ..scratch import Scratch
from ..settings import Settings
from .attempts import Attempts
from .dispatch import Dispatcher, WorkerIdentity
from .encode import EncodeSteps
from .encoder import EncoderProcess
from .engine import Engine, Steps
from .monitor import serve_monitor
from .variant import VariantSteps

EMBEDDED = "embedded-"  # ids of workers beside a hub with a folder of its own: it has one at a time
FIRST_CONNECTION_S = 2.0
LOOK_FOR_SIGNALS_S = 1.0
T = TypeVar("T")
log = structlog.get_logger()


@dataclass(slots=True)
class _Rhythm:
    """Something done every so often, in a thread of its own; an error is logged and the next time comes.

    The pauses vary by half, so that a hundred workers that were started together do not ask together.
    """

    name: str
    every_s: float
    action: Callable[[], object]
    stopping: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread = field(init=False)

    def start(self) -> None:
        """Begin at once."""
        self.thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.stopping.is_set():
            begun = time.monotonic()
            try:
                self.action()
            except (SQLAlchemyError, ServiceError, OSError) as error:
                log.warning("will be tried again", what=self.name, error=str(error)[:500])
            pause_s = self.every_s * random.uniform(0.5, 1.0)
            self.stopping.wait(max(0.0, pause_s - (time.monotonic() - begun)))


def identify(settings: Settings, *, embedded: bool) -> WorkerIdentity:
    """Who this process is."""
    host, pid = socket.gethostname(), os.getpid()
    place = EMBEDDED if embedded and not settings.database_url else f"{host[:32]}-"
    return WorkerIdentity(
        f"{place}{pid}-{secrets.token_hex(4)}", host[:255], pid, settings.device, settings.served_queues
    )


def run(settings: Settings, *, embedded: bool = False) -> NoReturn:
    """Work until told to stop, or with `embedded` until standard input ends.

    Raises
    ------
    DatabaseNotMigrated
        Before anything is done.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    hub = open_hub(settings)
    rhythms: list[_Rhythm] = []
    # Alive is not the same as useful: a worker that waits for its database is not mended by a restart.
    serve_monitor(settings, lambda: all(rhythm.thread.is_alive() for rhythm in rhythms))
    telemetry.configure(settings, "freebits-worker", hub)
    _once_it_answers(lambda: require_current(hub.db), stopping)
    me = identify(settings, embedded=embedded)
    encoder = EncoderProcess(settings)
    if embedded:
        _end_with_parent(encoder)
    attempts = hub, encoder, me.id
    scratch = Scratch(settings, me.id)
    scratch.sweep()
    steps: dict[str, Steps] = {ENCODE: EncodeSteps(*attempts), VARIANT: VariantSteps(*attempts, scratch)}
    engine = _once_it_answers(lambda: Engine(settings, Attempts(*attempts), steps), stopping)
    dispatcher = Dispatcher(hub, engine, me)
    _once_it_answers(lambda: _begin(dispatcher), stopping)
    for rhythm in _rhythms(dispatcher, stopping):
        rhythm.start()
        rhythms.append(rhythm)
    log.info("worker ready", worker=me.id, queues=me.queues, device=me.device)
    # The kernel may give a signal to a thread that is just starting the encoder, which wakes nobody: look now and then.
    while not stopping.wait(LOOK_FOR_SIGNALS_S):
        pass
    _end(dispatcher, encoder)


def _once_it_answers(action: Callable[[], T], stopping: threading.Event) -> T:
    """What needs the database to begin with: the two are often started together, and it may go away right after."""
    while True:
        try:
            return action()
        except DatabaseUnavailable as error:
            log.warning("waiting for the database", error=error.message)
            if stopping.wait(FIRST_CONNECTION_S):
                raise SystemExit(0) from None


def _begin(dispatcher: Dispatcher) -> None:
    dispatcher.beat()
    if dispatcher.me.id.startswith(EMBEDDED):
        # The data folder's lock says that the ones before are gone, however short a while they are silent.
        with dispatcher.hub.db.snapshot() as session:
            earlier = worker_rows.workers_named(session, EMBEDDED)
        dispatcher.bury(earlier)


def _rhythms(dispatcher: Dispatcher, stopping: threading.Event) -> list[_Rhythm]:
    chosen = dispatcher.hub.settings
    return [
        _Rhythm("heartbeat", chosen.heartbeat_s, dispatcher.beat, stopping),
        _Rhythm("dispatch", chosen.job_poll_s, lambda: _work(dispatcher, stopping), stopping),
        _Rhythm("take over", chosen.worker_dead_after_s / 2, dispatcher.take_over, stopping),
        _Rhythm("adopt", chosen.collect_interval_s, dispatcher.adopt_forgotten, stopping),
        _Rhythm("collect", chosen.collect_interval_s, lambda: _collect(dispatcher), stopping),
    ]


def _work(dispatcher: Dispatcher, stopping: threading.Event) -> None:
    """Job after job while there are some: only an idle worker asks every so often."""
    while not stopping.is_set() and dispatcher.dispatch():
        dispatcher.engine.idle.wait()


def _collect(dispatcher: Dispatcher) -> None:
    if dispatcher.leads():
        collect_in_turn(dispatcher.hub)


def _end(dispatcher: Dispatcher, encoder: EncoderProcess) -> NoReturn:
    """Hand back the job and be gone. Whatever cannot be said now, the others find out by the silence."""
    try:
        encoder.stop()
        dispatcher.hand_back()
        with dispatcher.hub.db.transaction() as session:
            worker_rows.forget_worker(session, dispatcher.me.id)
    except (SQLAlchemyError, ServiceError) as error:
        log.warning("could not hand back; others will take over", error=str(error)[:500])
    finally:
        telemetry.stop()
        os._exit(0)  # nothing to tidy up: a worker must bear being killed at any moment anyway


def _end_with_parent(encoder: EncoderProcess) -> None:
    def wait_for_the_end() -> None:
        while os.read(0, 1024):
            pass
        encoder.stop()
        os._exit(0)

    threading.Thread(target=wait_for_the_end, name="parent", daemon=True).start()
