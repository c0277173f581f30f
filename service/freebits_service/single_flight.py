"""Ask something that may hang, from code that must not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Runs `ask` in a thread of its own, one at a time: whoever asks meanwhile waits for the same answer.

    However often a hanging dependency is asked about, it holds one thread; a daemon one, so that it does not
    hold up the end of the process either. Use from one event loop.
    """

    def __init__(self, name: str, ask: Callable[[], T]) -> None:
        self.name = name
        self._ask = ask
        self._running: Future[T] | None = None

    async def result(self, timeout_s: float) -> T:
        """The answer; raises TimeoutError when it takes longer, and whatever `ask` raises."""
        if self._running is None or self._running.done():
            self._running = _started(self.name, self._ask)
        answer = asyncio.wrap_future(self._running)
        return await asyncio.wait_for(asyncio.shield(answer), timeout_s)


def _started(name: str, ask: Callable[[], T]) -> Future[T]:
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(ask())
        except BaseException as error:  # raised again by whoever waits
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
