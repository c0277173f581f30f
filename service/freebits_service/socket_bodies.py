"""Take a long body straight from its socket, in the thread that hashes and writes it.

By way of parser, event loop and ASGI bytes come in short pieces, and one thread has to handle those of all connections.
Where a client sends faster than that, bytes wait in the kernel, and the thread that has just written some may as well
fetch the next ones itself:

    loop      header, first MiB ─┐                           ┌─ what comes slowly, the end of the body, the next request
    thread                       └─ write, read, write ... ──┘  until nothing waits, or its turn is over

The few threads for this are nobody's for long, and nobody waits for one: where all are busy the loop does the work.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httptools

from .settings import MIB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .connections import GuardedHttp

EXTENSION = "freebits.socket_body"  # of the ASGI scope
LEAST_NBYTES = 2 * MIB  # of a body that is worth it
WINDOW_NBYTES = MIB
TURN_NBYTES, TURN_S = 16 * MIB, 0.25
PAUSE_S = 0.001  # for a client that is a little slower than the disk; a slower one gets back to the loop
THREADS_PER_CORE, MOST_THREADS = 4, 32  # some of them wait for the disk

Take = Callable[[Sequence[Any]], None]


class Lanes:
    """The threads of a server that may read from its sockets, and a window of memory for each."""

    def __init__(self) -> None:
        self.free = min(THREADS_PER_CORE * (os.cpu_count() or 1), MOST_THREADS)
        self.threads = ThreadPoolExecutor(self.free, "lane")
        self._windows: list[bytearray] = []

    def take(self) -> bytearray:
        """The window of one that is free."""
        self.free -= 1
        return self._windows.pop() if self._windows else bytearray(WINDOW_NBYTES)

    def give_back(self, window: bytearray) -> None:
        """It is free again."""
        self.free += 1
        self._windows.append(window)


class SocketBody:
    """The body of the request that a connection is reading, of known length."""

    def __init__(self, connection: GuardedHttp, lanes: Lanes, nbytes: int) -> None:
        self._connection = connection
        self._lanes = lanes
        self._cycle = connection.cycle
        self._left = nbytes
        self._is_past_parser = False

    @classmethod
    def of(cls, connection: GuardedHttp, lanes: Lanes) -> SocketBody | None:
        """That of a request whose header was just parsed, offered to the app; None if it is short, or of any length."""
        headers = dict(connection.headers)
        length = headers.get(b"content-length", b"")
        if b"transfer-encoding" in headers or not length.isdigit() or int(length) < LEAST_NBYTES:
            return None
        body = cls(connection, lanes, int(length))
        connection.scope.setdefault("extensions", {})[EXTENSION] = {"body": body}
        return body

    def parsed(self, nbytes: int) -> None:
        """So many bytes of it went through the parser."""
        self._left -= nbytes

    def received(self, data: bytes) -> bytes:
        """Take what is the body's of what the loop received, if the parser cannot know any more; the rest."""
        if not self._is_past_parser or not self._left:
            return data
        piece, rest = data[: self._left], data[self._left :]
        self._connection.on_body(piece)
        self._end_if_whole()
        return rest

    def is_waiting(self) -> bool:
        """Whether a thread may go on reading: there is more to come, and nothing between here and the socket."""
        cycle = self._cycle
        is_over = cycle.disconnected or cycle.response_complete or self._connection.transport.is_closing()
        return not is_over and self._left > 0 and not cycle.body and self._lanes.free > 0

    def pass_on(self, batch: Sequence[Any], take: Take, at_most: int) -> asyncio.Task[int]:
        """In a thread, `take` a batch and then what comes out of the socket; how many bytes the latter were.

        Only where `is_waiting`; nobody may receive from the body meanwhile. What is taken is overwritten afterwards.
        """
        connection = self._connection
        connection.flow.pause_reading()  # at once: what the loop read from now on would come in between
        turn = _Turn(connection.transport.get_extra_info("socket").fileno(), min(at_most, self._left))
        return asyncio.create_task(self._run(turn, self._lanes.take(), batch, take))

    async def _run(self, turn: _Turn, window: bytearray, batch: Sequence[Any], take: Take) -> int:
        loop, lanes = asyncio.get_running_loop(), self._lanes
        try:
            await loop.run_in_executor(lanes.threads, turn.run, window, batch, take)
            while turn.is_to_go_on and lanes.free:  # or somebody else may want one
                await loop.run_in_executor(lanes.threads, turn.run, window, (), take)
        finally:
            turn.close()
            lanes.give_back(window)
            if turn.taken:
                self._left -= turn.taken
                self._is_past_parser = True
                self._end_if_whole()
        return turn.taken

    def _end_if_whole(self) -> None:
        """A parser cannot skip bytes: one that never saw some of the body gives way to one for the next request."""
        connection = self._connection
        if self._left == 0 and connection.parser is not None:
            connection.parser = httptools.HttpRequestParser(connection)
            connection.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            connection.on_message_complete()


class _Turn:
    """A thread's reading from a socket that does not block, of which nobody else reads meanwhile."""

    def __init__(self, fd: int, at_most: int) -> None:
        self.taken = 0
        self.is_to_go_on = True
        self._fd = os.dup(fd)  # the loop may close its own, and another connection be given that number
        self._at_most = at_most

    def run(self, window: bytearray, batch: Sequence[Any], take: Take) -> None:
        """For a moment, or until nothing waits; raises what `take` raises."""
        view = memoryview(window)
        take(batch)
        stop, until, has_paused = min(self._at_most, self.taken + TURN_NBYTES), time.monotonic() + TURN_S, False
        while self.taken < stop and time.monotonic() < until:
            nbytes = self._fill(view[: stop - self.taken])
            if nbytes:
                self.taken += nbytes
                take([view[:nbytes]])
            elif has_paused:
                break
            else:
                time.sleep(PAUSE_S)
            has_paused = not nbytes
        self.is_to_go_on = not has_paused and self.taken < self._at_most

    def close(self) -> None:
        """Let go of the socket."""
        os.close(self._fd)

    def _fill(self, window: memoryview) -> int:
        """How many bytes there were. Of an end, good or bad, the loop is told when it reads again."""
        filled = 0
        while filled < len(window):
            try:
                nbytes = os.readv(self._fd, [window[filled:]])
            except OSError:
                break
            if not nbytes:
                break
            filled += nbytes
        return filled


def socket_body(scope: Mapping[str, Any]) -> SocketBody | None:
    """That of a request, where its server offers one."""
    found: SocketBody | None = scope.get("extensions", {}).get(EXTENSION, {}).get("body")
    return found
