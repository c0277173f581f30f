"""Objects in memory, for tests and for trying things; says the same as ``local.py`` in the conformance suite."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from ..clock import now
from .store import Buffer, Limits, ObjectNotFound, Range, StagedObject, StoredObject


@dataclass(slots=True)
class _Staged:
    content: bytearray = field(default_factory=bytearray)
    modified_at: datetime = field(default_factory=now)


class MemoryReader:
    """A view of bytes."""

    def __init__(self, content: bytes, key: str) -> None:
        self._content = content
        self._key = key
        self.nbytes = len(content)

    def read_at(self, offset: int, nbytes: int) -> bytes:
        """Exactly `nbytes` bytes from `offset`; raises EOFError when the object ends before."""
        if offset + nbytes > self.nbytes:
            raise EOFError(f"{self._key!r} ends at {self.nbytes}, wanted bytes up to {offset + nbytes}")
        return self._content[offset : offset + nbytes]

    def close(self) -> None:
        """Nothing to let go of."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class MemoryPartWriter:
    """Writes into a staged bytearray."""

    def __init__(self, staged: _Staged, offset: int, lock: threading.Lock) -> None:
        self._staged, self._offset, self._lock = staged, offset, lock

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Append the buffers."""
        with self._lock:
            content = self._staged.content
            for buffer in buffers:
                end = self._offset + len(buffer)
                content.extend(bytes(max(0, end - len(content))))
                content[self._offset : end] = buffer
                self._offset = end
            self._staged.modified_at = now()

    def finish(self) -> None:
        """The bytes are already in place."""

    def close(self) -> None:
        """Nothing to let go of."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class MemoryBlobStore:
    """A `BlobStore` that forgets everything with its process."""

    limits = Limits()
    presigner = None
    can_join = False
    is_exclusive = True

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._staged: dict[str, _Staged] = {}
        self._objects: dict[str, tuple[bytes, datetime]] = {}

    def begin(self, key: str) -> None:
        """Nothing, under a new key."""
        self._staged[key] = _Staged()

    def write_part(self, key: str, number: int, offset: int) -> MemoryPartWriter:
        """Write into the staged bytes from `offset`."""
        return MemoryPartWriter(self._find_staged(key), offset, self._lock)

    def staged_parts(self, key: str) -> None:
        """Parts leave no trace in the bytes."""
        self._find_staged(key)

    def finish(self, key: str) -> None:
        """Make the staged bytes an object; see `BlobStore.finish`."""
        with self._lock:
            staged = self._staged.pop(key, None)
            if staged is not None:
                self._objects[key] = bytes(staged.content), now()
            elif key not in self._objects:
                raise ObjectNotFound(key)

    def join(self, key: str, ranges: Sequence[Range]) -> bool:
        """Not here."""
        return False

    def reopen(self, key: str, new_key: str, part_nbytes: int, without: Collection[int] = ()) -> None:
        """Stage the object's bytes again."""
        with self._lock:
            content, _ = self._find(key)
            self._staged[new_key] = _Staged(bytearray(content))

    def abort(self, key: str) -> None:
        """Drop the staged bytes."""
        self._staged.pop(key, None)

    def open(self, key: str) -> MemoryReader:
        """Read an object."""
        return MemoryReader(self._find(key)[0], key)

    def stat(self, key: str) -> StoredObject:
        """Size and age of an object."""
        content, modified_at = self._find(key)
        return StoredObject(key, len(content), modified_at)

    def delete(self, key: str) -> None:
        """Forget an object."""
        self._objects.pop(key, None)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """The objects there were when listing began."""
        for key, (content, modified_at) in list(self._objects.items()):
            if key.startswith(prefix):
                yield StoredObject(key, len(content), modified_at)

    def list_staged(self) -> Iterator[StagedObject]:
        """What is staged; `modified_at` is when it was last written to."""
        for key, staged in list(self._staged.items()):
            yield StagedObject(key, staged.modified_at)

    def free_nbytes(self) -> None:
        """Memory is not counted."""
        return None

    def check(self) -> None:
        """Memory is always there."""

    def _find(self, key: str) -> tuple[bytes, datetime]:
        try:
            return self._objects[key]
        except KeyError:
            raise ObjectNotFound(key) from None

    def _find_staged(self, key: str) -> _Staged:
        try:
            return self._staged[key]
        except KeyError:
            raise ObjectNotFound(key) from None
