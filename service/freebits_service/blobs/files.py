"""Objects as file objects, for code that reads and writes files."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from .store import ObjectReader, PartWriter

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


class ObjectFile(io.RawIOBase):
    """A seekable, read-only file over an open object."""

    def __init__(self, reader: ObjectReader) -> None:
        super().__init__()
        self._reader = reader
        self._position = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position, which may lie behind the end."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._reader.nbytes}[whence]
        if start + offset < 0:
            raise ValueError(f"cannot seek to {start + offset}, before the beginning")
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """Where the next read begins."""
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill the buffer as far as the object goes."""
        view = memoryview(buffer).cast("B")
        nbytes = max(0, min(len(view), self._reader.nbytes - self._position))
        view[:nbytes] = self._reader.read_at(self._position, nbytes)
        self._position += nbytes
        return nbytes


class PartFile(io.RawIOBase):
    """A write-only file over a part being written."""

    def __init__(self, writer: PartWriter) -> None:
        super().__init__()
        self._writer = writer

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: ReadableBuffer) -> int:
        """Append the data; raises StorageFull."""
        view = memoryview(data).cast("B")
        self._writer.write([view])
        return len(view)
