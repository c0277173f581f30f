"""What the hub needs of a store for objects: whole, immutable, named by a key.

The shape is that of S3: an object appears whole or not at all; it is written as numbered parts in any order
under a *handle* and appears under its key when the handle is finished. Writing the same part or finishing the
same handle again gives the same result, so a caller may retry every call here after any failure but
StorageFull. No call is a lock: who wins a race is decided by the database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self

Buffer = bytes | bytearray | memoryview


class ObjectNotFound(LookupError):
    """No object under this key, or nothing staged under this handle."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"nothing is stored under {key!r}")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object (`name` is its key) or a staged upload (`name` is its handle)."""

    name: str
    nbytes: int
    modified_at: datetime


class ObjectReader(Protocol):
    """An open object. Stays readable when the object is deleted meanwhile; safe to share between threads."""

    nbytes: int

    def read_at(self, offset: int, nbytes: int) -> bytes:
        """Exactly `nbytes` bytes from `offset`; raises EOFError when the object ends before."""
        ...

    def close(self) -> None:
        """Let go of the object; reading afterwards is an error."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class PartWriter(Protocol):
    """One part being written, front to back. Without `finish` nothing of it counts."""

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Append the buffers; raises StorageFull."""
        ...

    def finish(self) -> None:
        """The part is all there."""
        ...

    def close(self) -> None:
        """Let go of the part, finished or not."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class BlobStore(Protocol):
    """Objects under keys. Keys are made by ``blobs/keys.py``; handles by the store."""

    def begin(self) -> str:
        """A new handle to write parts under."""
        ...

    def write_part(self, handle: str, number: int, offset: int) -> PartWriter:
        """Write part `number`, which begins at `offset` of the object. Parts may come in any order, also at once."""
        ...

    def open_staged(self, handle: str) -> ObjectReader:
        """Read what has been staged, to verify it; raises ObjectNotFound."""
        ...

    def finish(self, handle: str, key: str) -> None:
        """Make the staged bytes the object `key`, durably and at once; the object's age begins now.

        Finishing again, with nothing staged and the object there, is success. Raises ObjectNotFound when
        neither is there, StorageFull.
        """
        ...

    def abort(self, handle: str) -> None:
        """Drop what is staged; nothing happens when nothing is."""
        ...

    def open(self, key: str) -> ObjectReader:
        """Read an object; raises ObjectNotFound."""
        ...

    def stat(self, key: str) -> StoredObject:
        """Size and age of an object; raises ObjectNotFound."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens when there is none."""
        ...

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """The objects whose keys begin with `prefix`, in any order; may miss what appears meanwhile."""
        ...

    def list_staged(self) -> Iterator[StoredObject]:
        """What is staged; `modified_at` is when it was last written to."""
        ...

    def free_nbytes(self) -> int | None:
        """Room left, or None when the store does not know."""
        ...
