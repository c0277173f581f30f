"""Keep one worker process running beside the server.

The worker's standard input is a pipe whose other end only this process holds. However this process ends, also
by ``kill -9``, the kernel closes the pipe, and the worker sees the end of its input and ends too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import structlog

from .settings import Settings

RESTART_AFTER_S = 1.0
RESTART_AFTER_AT_MOST_S = 30.0
STOP_WITHIN_S = 5.0

log = structlog.get_logger()


class WorkerSupervisor:
    """Starts the worker, restarts it when it dies, stops it with the server."""

    def __init__(self, settings: Settings) -> None:
        self._environment = {**os.environ, **settings.to_environment()}
        self._environment.pop("FREEBITS_ADMIN_TOKEN", None)
        self._environment.pop("FREEBITS_CONFIG", None)
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._supervise, name="worker-supervisor", daemon=True)

    def start(self) -> None:
        """Start the worker and keep it running."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the worker to end, kill it if it does not; its job goes on at the next start."""
        self._stopping.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
        self._thread.join(STOP_WITHIN_S)
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()

    def _supervise(self) -> None:
        wait_s = RESTART_AFTER_S
        while not self._stopping.is_set():
            begun = time.monotonic()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "freebits_service.workers"],
                env=self._environment,
                stdin=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C in a terminal is for the server, which then stops the worker
            )
            status = self._process.wait()
            if not self._stopping.is_set():
                log.warning("the worker ended and is started again", status=status, wait_s=wait_s)
                self._stopping.wait(wait_s)
                if time.monotonic() - begun > RESTART_AFTER_AT_MOST_S:
                    wait_s = RESTART_AFTER_S  # it did work: this is no loop of failing starts
                    continue
                wait_s = min(2 * wait_s, RESTART_AFTER_AT_MOST_S)
