"""The original file of a container as a seekable file object, for code that wants one."""

from __future__ import annotations

import io
import os
from typing import Any, Protocol

WINDOW_NBYTES = 1 << 20
"""What is read at a time and kept: as much as one chunk, since decoding less of it costs the same."""


class Original(Protocol):
    """The bytes of a file, whatever it is stored as; a ContainerReader is one."""

    nbytes: int

    def read(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop)."""
        ...


class DecodedFile(io.RawIOBase):
    """A read-only binary file over `original`. Keeps one window of 1 MiB; wants no buffering on top."""

    def __init__(self, original: Original) -> None:
        self._original, self._at = original, 0
        self._window, self._start = b"", 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._original.nbytes}[whence]
        if base + offset < 0:
            raise ValueError(f"cannot seek to {base + offset}, before the first byte")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` up to the end of the window; fewer bytes than asked for, as raw files may."""
        if self._at >= self._original.nbytes or not len(buffer):
            return 0
        if not self._start <= self._at < self._start + len(self._window):
            self._start = self._at // WINDOW_NBYTES * WINDOW_NBYTES
            self._window = self._original.read(self._start, self._start + WINDOW_NBYTES)
        piece = memoryview(self._window)[self._at - self._start :][: len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
