"""A worker process: takes jobs, runs them, says that it lives, collects. Started by ``freebits serve``.

Reads its settings from the environment. Ends when its standard input ends, because whoever started it is gone
then.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

import structlog
from sqlalchemy.exc import SQLAlchemyError

from .. import logs, settings
from ..context import Hub, open_hub
from ..errors import ServiceError
from .collect import collect
from .dispatch import Dispatcher
from .encode import EncodeSteps
from .encoder import EncoderProcess
from .engine import Engine

EMBEDDED = "embedded"  # the data folder's lock makes it the only one of its name, so it recovers its own jobs
QUEUE = "cpu"
log = structlog.get_logger()


@dataclass(slots=True)
class _Rhythm:
    """Something done every so often, in a thread of its own; an error is logged and the next time comes."""

    name: str
    every_s: float
    action: Callable[[], object]
    stopping: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Begin at once."""
        threading.Thread(target=self._run, name=self.name, daemon=True).start()

    def _run(self) -> None:
        while not self.stopping.is_set():
            begun = time.monotonic()
            try:
                self.action()
            except (SQLAlchemyError, ServiceError, OSError) as error:
                log.warning("will be tried again", what=self.name, error=str(error)[:500])
            self.stopping.wait(max(0.0, self.every_s - (time.monotonic() - begun)))


def main() -> NoReturn:
    """Work until told to stop."""
    chosen = settings.load()
    logs.configure(chosen.log_level)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    hub = open_hub(chosen)
    encoder = EncoderProcess(chosen)
    _end_with_parent(encoder)
    engine = Engine(chosen, EncodeSteps(hub, encoder, EMBEDDED), QUEUE)
    dispatcher = Dispatcher(hub, engine, QUEUE, EMBEDDED)
    for rhythm in _rhythms(hub, dispatcher, stopping):
        rhythm.start()
    log.info("worker ready", queue=QUEUE, adopted=dispatcher.adopt_forgotten())
    stopping.wait()
    encoder.stop()
    os._exit(0)  # nothing to tidy up: a worker must bear being killed at any moment anyway


def _rhythms(hub: Hub, dispatcher: Dispatcher, stopping: threading.Event) -> list[_Rhythm]:
    chosen, pid = hub.settings, os.getpid()
    return [
        _Rhythm("heartbeat", chosen.heartbeat_s, lambda: dispatcher.beat(pid), stopping),
        _Rhythm("dispatch", chosen.job_poll_s, dispatcher.dispatch, stopping),
        _Rhythm("take over", chosen.worker_dead_after_s / 2, dispatcher.take_over, stopping),
        _Rhythm("collect", chosen.collect_interval_s, lambda: collect(hub), stopping),
    ]


def _end_with_parent(encoder: EncoderProcess) -> None:
    def wait_for_the_end() -> None:
        while os.read(0, 1024):
            pass
        encoder.stop()
        os._exit(0)

    threading.Thread(target=wait_for_the_end, name="parent", daemon=True).start()


if __name__ == "__main__":
    main()
