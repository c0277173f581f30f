"""Read an object by ranged GETs.

Opening asks for the last bytes, with which the store also says how many there are: one request as for a HEAD, and
small objects, and what a container has at its end, are there at once. A read is one GET of its range. A read at the
beginning, or one that goes on where the last one ended, opens a *window*: one GET of many times the bytes, from which
the following reads are served as they arrive. Windows grow, so whoever reads through an object pays a handful of
requests, whoever reads here and there fetches no more than asked, and memory is the last bytes, what the caller asked
for and the socket's buffer, however slow the client behind is. What breaks off in the middle is asked for again from
there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Self

from botocore.exceptions import BotoCoreError

from ...settings import MIB
from .failures import translated, unavailable

TAIL_NBYTES = 64 * 1024
FIRST_WINDOW_NBYTES = MIB
LARGEST_WINDOW_NBYTES = 512 * MIB
WINDOW_GROWTH = 8
BREAKS = 4  # in a row, without a byte in between
FIRST_WAIT_S = 0.2

Get = Callable[[int, int], Any]  # the body of bytes [start, stop) of the object, a botocore StreamingBody


class S3Reader:
    """An object of `nbytes` bytes, of which the last ones, `tail`, are here already."""

    def __init__(self, get: Get, key: str, nbytes: int, tail: bytes = b"") -> None:
        self._get, self._key = get, key
        self.nbytes = nbytes
        self._tail, self._tail_start = tail, nbytes - len(tail)
        self._lock = threading.Lock()
        self._next_offset = 0
        self._window: _Window | None = None
        self._window_nbytes = FIRST_WINDOW_NBYTES

    def read_at(self, offset: int, nbytes: int) -> bytes:
        """Exactly `nbytes` bytes from `offset`; raises EOFError when the object ends before."""
        stop = offset + nbytes
        if stop > self.nbytes:
            raise EOFError(f"{self._key!r} ends at {self.nbytes}, wanted bytes up to {stop}")
        if nbytes == 0 or offset >= self._tail_start:
            return self._tail[offset - self._tail_start : stop - self._tail_start]
        if not self._lock.acquire(blocking=False):
            return self._read_alone(offset, stop)  # somebody else is reading in sequence
        try:
            data = self._read_on(stop) if offset == self._next_offset else self._read_elsewhere(offset, stop)
            self._next_offset = stop
            return data
        finally:
            self._lock.release()

    def close(self) -> None:
        """Drop the connection of the window, if there is one."""
        with self._lock:
            self._close_window()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_on(self, stop: int) -> bytes:
        gathered: list[bytes] = []
        position = self._next_offset
        while position < stop:
            if position >= self._tail_start:
                gathered.append(self._tail[position - self._tail_start : stop - self._tail_start])
            else:
                gathered.append(self._window_at(position).read(stop - position))
            position += len(gathered[-1])
        return gathered[0] if len(gathered) == 1 else b"".join(gathered)

    def _read_elsewhere(self, offset: int, stop: int) -> bytes:
        self._close_window()
        self._window_nbytes = FIRST_WINDOW_NBYTES
        return self._read_alone(offset, stop)

    def _read_alone(self, offset: int, stop: int) -> bytes:
        window = _Window(self._get, self._key, offset, stop)
        try:
            return window.read(stop - offset)
        finally:
            window.close()

    def _window_at(self, position: int) -> _Window:
        if self._window is None or self._window.is_at_end:
            self._close_window()
            stop = min(position + self._window_nbytes, self._tail_start)
            self._window = _Window(self._get, self._key, position, stop)
            self._window_nbytes = min(self._window_nbytes * WINDOW_GROWTH, LARGEST_WINDOW_NBYTES)
        return self._window

    def _close_window(self) -> None:
        if self._window is not None:
            self._window.close()
            self._window = None


class _Window:
    """Bytes ``[position, stop)``, front to back, by one GET that is made again where it breaks off."""

    def __init__(self, get: Get, key: str, position: int, stop: int) -> None:
        self._get, self._key = get, key
        self._position, self._stop = position, stop
        self._body: Any = None

    @property
    def is_at_end(self) -> bool:
        return self._position >= self._stop

    def read(self, nbytes: int) -> bytes:
        """The next `nbytes` bytes, fewer only at the end of the window."""
        wanted = min(nbytes, self._stop - self._position)
        pieces: list[bytes] = []
        breaks = 0
        while wanted:
            try:
                piece = self._receive(wanted)
            except BotoCoreError as error:
                self.close()
                breaks += 1
                if breaks > BREAKS:
                    raise unavailable(error) from error
                time.sleep(FIRST_WAIT_S * 2**breaks)
                continue
            pieces.append(piece)
            breaks = 0
            wanted -= len(piece)
            self._position += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def _receive(self, nbytes: int) -> bytes:
        if self._body is None:
            with translated(self._key):
                self._body = self._get(self._position, self._stop)
        piece: bytes = self._body.read(nbytes)
        if not piece:
            raise _Ended(key=self._key)
        return piece


class _Ended(BotoCoreError):  # type: ignore[misc]  # botocore has no types
    """The answer is shorter than it said, which not every server's client notices by itself."""

    fmt = "the answer for {key} ended early"
