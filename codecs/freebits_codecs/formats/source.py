"""Bounded random access to a file that nobody trusts, for the readers of this package."""

from __future__ import annotations

import struct
from typing import BinaryIO, Protocol

MAX_READS = 1 << 19
"""Times one layout may go back to the file; 100,000 scattered tensors need about as many."""

MAX_READ_NBYTES = 1 << 30
"""Bytes one layout may read in all; headers and directories, never tensor data."""

MIN_WINDOW_NBYTES = 4 << 10
MAX_WINDOW_NBYTES = 256 << 10
"""Read-ahead: small where a reader jumps about, doubling while it reads on."""

UNKNOWN_NBYTES = 1 << 62
"""The length of a stream that has not ended yet."""


class Unreadable(ValueError):
    """The bytes do not follow the format, or pass one of its limits. Never leaves this package."""


HOSTILE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, struct.error)
"""What taking apart bytes that mean to deceive may raise; `Unreadable` is a ValueError."""


class HeadTooShort(Exception):
    """A reader of a stream's head needs its first `nbytes` bytes. Never leaves this package."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        super().__init__(f"need the first {nbytes} bytes")


class Source(Protocol):
    """Bytes that can be read at offsets."""

    nbytes: int

    def read_at(self, offset: int, nbytes: int) -> bytes:
        """Exactly `nbytes` bytes from `offset`; `Unreadable` when they are not there."""
        ...


class FileSource:
    """A seekable file, read through one window, within `MAX_READS` and `MAX_READ_NBYTES`."""

    def __init__(self, file: BinaryIO) -> None:
        self.nbytes = file.seek(0, 2)
        self._file = file
        self._window = b""
        self._start = 0
        self._reads_left = MAX_READS
        self._nbytes_left = MAX_READ_NBYTES
        self._ahead = MIN_WINDOW_NBYTES

    def read_at(self, offset: int, nbytes: int) -> bytes:
        if offset < 0 or nbytes < 0 or offset + nbytes > self.nbytes:
            raise Unreadable(f"{nbytes} bytes at {offset} lie outside the file of {self.nbytes}")
        at = offset - self._start
        if at < 0 or at + nbytes > len(self._window):
            self._fill(offset, nbytes)
            at = 0
        return self._window[at : at + nbytes]

    def _fill(self, offset: int, nbytes: int) -> None:
        reads_on = 0 <= offset - self._start <= len(self._window)
        self._ahead = min(self._ahead * 2, MAX_WINDOW_NBYTES) if reads_on else MIN_WINDOW_NBYTES
        want = min(max(nbytes, self._ahead), self.nbytes - offset)
        self._reads_left -= 1
        self._nbytes_left -= want
        if self._reads_left < 0 or self._nbytes_left < 0:
            raise Unreadable(f"the directory needs more than {MAX_READS} reads or {MAX_READ_NBYTES} bytes")
        self._file.seek(offset)
        self._window, self._start = _read_exactly(self._file, want), offset
        if len(self._window) < nbytes:
            raise Unreadable(f"the file ended at {offset + len(self._window)}, not at {self.nbytes}")


def _read_exactly(file: BinaryIO, nbytes: int) -> bytes:
    """`nbytes` bytes, or fewer at the end of the file; raw files may answer in pieces."""
    data = file.read(nbytes)
    while 0 < len(data) < nbytes and (more := file.read(nbytes - len(data))):
        data += more
    return data


class HeadSource:
    """The first bytes of a stream of unknown length."""

    nbytes = UNKNOWN_NBYTES

    def __init__(self, head: bytes) -> None:
        self._head = head

    def read_at(self, offset: int, nbytes: int) -> bytes:
        if offset + nbytes > len(self._head):
            raise HeadTooShort(offset + nbytes)
        return self._head[offset : offset + nbytes]


class PartSource:
    """Bytes [start, start + nbytes) of another source, as if they were a file."""

    def __init__(self, whole: Source, start: int, nbytes: int) -> None:
        self.nbytes = nbytes
        self._whole = whole
        self._start = start

    def read_at(self, offset: int, nbytes: int) -> bytes:
        if offset < 0 or nbytes < 0 or offset + nbytes > self.nbytes:
            raise Unreadable(f"{nbytes} bytes at {offset} lie outside a member of {self.nbytes}")
        return self._whole.read_at(self._start + offset, nbytes)


class Cursor:
    """A place in a source that moves on as fields are read. `stop` bounds what it may read."""

    def __init__(self, source: Source, at: int, stop: int) -> None:
        self.at = at
        self.stop = stop
        self.source = source

    def take(self, nbytes: int) -> bytes:
        """The next `nbytes` bytes."""
        data = self.source.read_at(self.at, self._checked(nbytes))
        self.at += nbytes
        return data

    def skip(self, nbytes: int) -> None:
        """Move on without reading."""
        self.at += self._checked(nbytes)

    def uint(self, nbytes: int) -> int:
        """A little-endian unsigned integer."""
        return int.from_bytes(self.take(nbytes), "little")

    def _checked(self, nbytes: int) -> int:
        if nbytes < 0 or self.at + nbytes > self.stop:
            raise Unreadable(f"{nbytes} bytes at {self.at} pass the end of their part at {self.stop}")
        return nbytes
