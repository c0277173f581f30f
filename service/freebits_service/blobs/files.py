"""Objects as file objects, for code that reads and writes files."""

from __future__ import annotations

import hashlib
import io
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from .store import BlobStore, ObjectReader, PartWriter

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

PARTS_AT_ONCE = 4


def store_object(store: BlobStore, key: str, data: bytes) -> None:
    """Store short content under a new key; raises StorageFull."""
    store.begin(key)
    if data:
        with store.write_part(key, 0, 0) as writer:
            writer.write([data])
            writer.finish()
    store.finish(key)


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


class StagedFile(io.RawIOBase):
    """A write-only file over the parts of an object in progress, of any length.

    Parts are sent while the next ones are written, a few at once; what is not sent yet is bounded by them.
    """

    def __init__(self, store: BlobStore, key: str, part_nbytes: int) -> None:
        super().__init__()
        self._store, self._key, self._part_nbytes = store, key, part_nbytes
        self._writer: PartWriter | None = None
        self._sender = ThreadPoolExecutor(PARTS_AT_ONCE, "part")
        self._sending: deque[Future[None]] = deque()
        self._digest = hashlib.sha256()
        self.nbytes = 0

    @property
    def sha256(self) -> str:
        """SHA-256 of what has been written."""
        return self._digest.hexdigest()

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: ReadableBuffer) -> int:
        """Append the data; raises StorageFull, also for a part that was written before."""
        view = memoryview(data).cast("B")
        self._digest.update(view)
        written = 0
        while written < len(view):
            if self._writer is None:
                number = self.nbytes // self._part_nbytes
                self._writer = self._store.write_part(self._key, number, self.nbytes)
            room = self._part_nbytes - self.nbytes % self._part_nbytes
            piece = view[written : written + room]
            self._writer.write([piece])
            written += len(piece)
            self.nbytes += len(piece)
            if len(piece) == room:
                self._send()
        return len(view)

    def finish(self) -> None:
        """Send what is left; returns when all parts are there, or raises what one of them met."""
        if self._writer is not None:
            self._send()
        while self._sending:
            self._sending.popleft().result()

    def close(self) -> None:
        """End the threads; a part that was not finished does not count."""
        self._sender.shutdown(cancel_futures=True)
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        super().close()

    def _send(self) -> None:
        assert self._writer is not None
        writer, self._writer = self._writer, None
        self._sending.append(self._sender.submit(_finish_and_close, writer))
        if len(self._sending) > PARTS_AT_ONCE:
            self._sending.popleft().result()


def _finish_and_close(writer: PartWriter) -> None:
    with writer:
        writer.finish()
