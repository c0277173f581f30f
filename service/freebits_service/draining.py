"""A server that leaves in three steps, so that nobody who follows ``/readyz`` meets a closed door.

told to stop    ``/readyz`` is 503, new requests are still taken      for ``shutdown_delay_s``
leaving         nothing new is taken, running requests go on          for ``shutdown_grace_s``
gone            what still runs is cut; clients go on elsewhere from what was noted (parts, ranges)
"""

from __future__ import annotations

import os
import threading
import time

import structlog
import uvicorn

LEAVE_WITHIN_S = 15.0  # after the grace: a thread that hangs in a dead database must not keep the process

log = structlog.get_logger()


class DrainingServer(uvicorn.Server):
    """Sets `draining` when told to stop and closes the listener `delay_s` later; a second SIGINT skips all waits."""

    def __init__(self, config: uvicorn.Config, draining: threading.Event, delay_s: float) -> None:
        super().__init__(config)
        self._draining = draining
        self._delay_s = delay_s
        self._closes_at = float("inf")

    async def on_tick(self, counter: int) -> bool:
        """Whether to close the listener now; asked ten times a second."""
        if not await super().on_tick(counter):
            return False
        if not self._draining.is_set():
            log.info("told to stop", delay_s=self._delay_s, requests=len(self.server_state.tasks))
            self._draining.set()
            self._closes_at = time.monotonic() + self._delay_s
        if time.monotonic() < self._closes_at and not self.force_exit:
            return False
        _end_at_the_latest_after((self.config.timeout_graceful_shutdown or 0) + LEAVE_WITHIN_S)
        return True


def _end_at_the_latest_after(seconds: float) -> None:
    def end() -> None:
        log.error("a thread did not end in time; the process ends without it", waited_s=seconds)
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
