"""Drive flows: with threads, or with asyncio. Both know nothing of HTTP; `perform` does one step, blocking.

Three layers of threads, each waiting only for the next, so they cannot lock each other out: flows of files,
their steps, and (inside `perform`) the blocks of one stream.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from types import GeneratorType
from typing import Any, TypeVar

from freebits.errors import Interrupted
from freebits.steps import Flow, Step

T = TypeVar("T")
FLOWS_AT_ONCE = 4
STEPS_AT_ONCE = 6


class _GivenUp:
    """Set when a step of a batch failed: what else is in the batch, and below it, need not start any more."""

    def __init__(self, parent: _GivenUp | None) -> None:
        self._parent = parent
        self.event = threading.Event()

    def check(self) -> None:
        if self.event.is_set():
            raise Interrupted("given up because another file failed")
        if self._parent:
            self._parent.check()


class ThreadDriver:
    """Runs flows to their end in threads. `stop` is set when the caller gives up, so that steps end early."""

    def __init__(self, perform: Callable[[Any], Any], stop: Callable[[], None]) -> None:
        self._perform, self._stop = perform, stop
        self._flows = ThreadPoolExecutor(FLOWS_AT_ONCE, "freebits-flow")
        self._steps = ThreadPoolExecutor(STEPS_AT_ONCE, "freebits-step")

    def run(self, flow: Flow[T]) -> T:
        """The result of `flow`. Ctrl-C or SIGTERM stops its steps and waits for them to end."""
        try:
            return self._run(flow, _GivenUp(None))
        except (KeyboardInterrupt, SystemExit):
            self._stop()
            self.close()
            raise

    def close(self) -> None:
        """End the threads, once their steps have ended."""
        self._flows.shutdown()
        self._steps.shutdown()

    def _run(self, flow: Flow[T], given_up: _GivenUp) -> T:
        resume: Callable[[], Sequence[Step]] = lambda: next(flow)  # noqa: E731
        while True:
            try:
                batch = resume()
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            try:
                replies = self._batch(batch, given_up)
            except Exception as error:
                resume = _throwing(flow, error)
            else:
                resume = _sending(flow, replies)

    def _batch(self, batch: Sequence[Step], parent: _GivenUp) -> list[Any]:
        if len(batch) == 1:
            return [self._one(batch[0], parent)]
        given_up = _GivenUp(parent)
        futures = [self._submit(step, given_up) for step in batch]
        done, waiting = wait(futures, return_when=FIRST_EXCEPTION)
        if waiting:
            # Not Future.cancel(): wait() never returns for a cancelled future that no thread picks up.
            given_up.event.set()
            wait(waiting)
        for future in done:
            future.result()
        return [future.result() for future in futures]

    def _submit(self, step: Step, given_up: _GivenUp) -> Future[Any]:
        pool = self._flows if isinstance(step, GeneratorType) else self._steps
        return pool.submit(self._one, step, given_up)

    def _one(self, step: Step, given_up: _GivenUp) -> Any:
        given_up.check()
        return self._run(step, given_up) if isinstance(step, GeneratorType) else self._perform(step)


class AsyncDriver:
    """Runs flows to their end on the running event loop. `perform` is a coroutine function for one step."""

    def __init__(self, perform: Callable[[Any], Awaitable[Any]]) -> None:
        self._perform = perform
        self._flows = asyncio.Semaphore(FLOWS_AT_ONCE)
        self._steps = asyncio.Semaphore(STEPS_AT_ONCE)

    async def run(self, flow: Flow[T]) -> T:
        """The result of `flow`."""
        resume: Callable[[], Sequence[Step]] = lambda: next(flow)  # noqa: E731
        while True:
            try:
                batch = resume()
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(self._one(step)) for step in batch]
            except* Exception as errors:
                resume = _throwing(flow, _first_leaf(errors))
            else:
                resume = _sending(flow, [task.result() for task in tasks])

    async def _one(self, step: Step) -> Any:
        if isinstance(step, GeneratorType):
            async with self._flows:
                return await self.run(step)
        async with self._steps:
            return await self._perform(step)


def _throwing(flow: Flow[T], error: Exception) -> Callable[[], Sequence[Step]]:
    return lambda: flow.throw(error)


def _sending(flow: Flow[T], replies: list[Any]) -> Callable[[], Sequence[Step]]:
    return lambda: flow.send(replies)


def _first_leaf(errors: BaseExceptionGroup[BaseException]) -> Exception:
    leaf: BaseException = errors
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    assert isinstance(leaf, Exception)
    return leaf
