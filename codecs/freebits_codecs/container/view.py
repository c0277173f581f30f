"""The original file, whatever it is stored as: as a seekable file object for code that wants one."""

from __future__ import annotations

import io
import os
from typing import Any, Protocol

from freebits_codecs.container.reader import RangeSource

CHUNK_WINDOW_NBYTES = 1 << 20
"""For containers: as much as one chunk, since decoding less of it costs the same."""

PLAIN_WINDOW_NBYTES = 64 << 10
"""For files stored as they are."""


class Original(Protocol):
    """The bytes of a file, whatever it is stored as; a ContainerReader is one."""

    nbytes: int

    def read(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop), cut to the file's length."""
        ...


class PlainOriginal:
    """A file stored as it is."""

    def __init__(self, source: RangeSource) -> None:
        self._source, self.nbytes = source, source.nbytes

    def read(self, start: int, stop: int) -> bytes:
        return bytes(self._source.read_at(start, min(stop, self.nbytes) - start))


class OriginalFile(io.RawIOBase):
    """A read-only binary file over `original`. Reads and keeps one window at a time; wants no buffering on top."""

    def __init__(self, original: Original) -> None:
        self._original, self._at = original, 0
        self._window, self._start = b"", 0
        is_plain = isinstance(original, PlainOriginal)
        self._window_nbytes = PLAIN_WINDOW_NBYTES if is_plain else CHUNK_WINDOW_NBYTES

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
            self._start = self._at // self._window_nbytes * self._window_nbytes
            self._window = self._original.read(self._start, self._start + self._window_nbytes)
        piece = memoryview(self._window)[self._at - self._start :][: len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
