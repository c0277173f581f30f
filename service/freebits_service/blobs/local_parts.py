"""Parts of staged files being written, and that none of them is written once the file is an object.

A part may still arrive when its object is finished: sent a second time, or by somebody who means ill. What was verified
must not change afterwards, so writers are revoked when the object is finished. One process writes to the folder.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from ..errors import StorageFull
from .store import Buffer, ObjectNotFound

# EFBIG is what a file-size limit (RLIMIT_FSIZE, or the file system's own) answers; for a caller it is the
# same.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_BEGIN_NBYTES = 8 << 20
_MAX_BUFFERS = 512  # of one writev; IOV_MAX is 1024 on Linux and macOS


class LocalPartWriter:
    """Writes at an offset of the staged file."""

    def __init__(self, path: Path, key: str, offset: int, closed: Callable[[LocalPartWriter], None]) -> None:
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise ObjectNotFound(key) from None
        self.key = key
        self._offset = self._begun = offset
        self._closed = closed
        self._lock = threading.Lock()
        self._is_revoked = False

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Append the buffers; raises StorageFull, and ObjectNotFound once the object is finished."""
        pending = [memoryview(buffer).cast("B") for buffer in buffers if len(buffer)]
        with self._lock:
            if self._is_revoked:
                raise ObjectNotFound(self.key)
            while pending:
                with storage_full_translated():
                    written = os.pwritev(self._fd, pending[:_MAX_BUFFERS], self._offset)
                self._offset += written
                pending = _after(pending, written)
            if self._offset - self._begun >= _BEGIN_NBYTES:
                self._begin_to_keep()

    def _begin_to_keep(self) -> None:
        """Have the kernel write to the disk what it holds of the part, so that `finish` finds little to wait for.

        This advice is how Linux lets one say so without waiting; what it has not written yet it keeps in memory.
        """
        os.posix_fadvise(self._fd, self._begun, self._offset - self._begun, os.POSIX_FADV_DONTNEED)
        self._begun = self._offset

    def revoke(self) -> None:
        """Write nothing more; returns when what is being written is."""
        with self._lock:
            self._is_revoked = True

    def finish(self) -> None:
        """Make the part durable while others still arrive; at the end little is left to wait for."""
        if self._is_revoked:
            raise ObjectNotFound(self.key)
        with storage_full_translated():
            os.fdatasync(self._fd)

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._closed(self)
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class OpenParts:
    """The writers of a store, by what they write."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._writers: dict[str, set[LocalPartWriter]] = {}

    def open(self, path: Path, key: str, offset: int) -> LocalPartWriter:
        """Write into a staged file from `offset`; raises ObjectNotFound when there is none."""
        with self._lock:
            writer = LocalPartWriter(path, key, offset, self._forget)
            self._writers.setdefault(key, set()).add(writer)
            return writer

    def revoke(self, key: str) -> None:
        """None of the writers that were opened before this writes anything more."""
        with self._lock:
            writers = list(self._writers.get(key, ()))
        for writer in writers:
            writer.revoke()

    def _forget(self, writer: LocalPartWriter) -> None:
        with self._lock:
            writers = self._writers.get(writer.key, set())
            writers.discard(writer)
            if not writers:
                self._writers.pop(writer.key, None)


def _after(buffers: list[memoryview], written: int) -> list[memoryview]:
    """The buffers less their first `written` bytes."""
    for index, buffer in enumerate(buffers):
        if written < len(buffer):
            return [buffer[written:], *buffers[index + 1 :]]
        written -= len(buffer)
    return []


@contextmanager
def storage_full_translated() -> Iterator[None]:
    """Say that the disk is full as an error of the hub's."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull() from error
        raise
