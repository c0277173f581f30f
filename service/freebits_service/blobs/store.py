"""What the hub needs of a store for objects: whole, immutable, named by a key.

The shape is that of S3: an object appears whole or not at all; it is staged as numbered parts in any order and
appears under its key when it is finished. The key is named at the beginning, so that no store has to copy bytes
to give them their name. Nothing says that a finished object holds what was announced: it is verified under its
key, and counts when a row of the database names it. Until then, and when nobody comes back, it is garbage.

A key is begun once, by one writer, and never again (``keys.py`` makes each of them unique). So no call here is a
lock and none needs a conditional write; who wins a race is decided by the database. Writing the same part or
finishing the same key again gives the same result, so a caller may retry every call after any failure.

Every call may raise StoreUnavailable, and those that write StorageFull.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self

from ..settings import MIB

Buffer = bytes | bytearray | memoryview


class ObjectNotFound(LookupError):
    """No object under this key, or nothing staged for it."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"nothing is stored under {key!r}")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object. `modified_at` is when it was begun or finished, or in between: the store's choice."""

    name: str
    nbytes: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class StagedObject:
    """An object in progress. `modified_at` is when it was begun or last written to: the store's choice."""

    key: str
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes ``[start, stop)`` of the object `key`."""

    key: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What a store takes: the least size of all parts but the last, how many, and the largest object, bytes."""

    least_part_nbytes: int = 1
    most_parts: int = 10_000
    largest_nbytes: int = 1 << 62

    def part_nbytes_for(self, nbytes: int, preferred: int) -> int:
        """Size of the parts of an object: the preferred one, or whole MiB where the store needs larger ones."""
        least = max(self.least_part_nbytes, -(-nbytes // self.most_parts))
        return preferred if least <= preferred else -(-least // MIB) * MIB


@dataclass(frozen=True, slots=True)
class Presentation:
    """What a presigned download says of itself: its type, and the file name under which it is saved."""

    content_type: str
    file_name: str


class ObjectReader(Protocol):
    """An open object; safe to share between threads.

    Reads that go on where the last one ended are fetched ahead, so two who read through an object open it twice.
    A deleted object may stay readable (a local file does) or raise ObjectNotFound, never give other bytes.
    """

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
        """The part is all there. Raises ObjectNotFound when the object is not in progress (any more)."""
        ...

    def close(self) -> None:
        """Let go of the part, finished or not."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class Presigner(Protocol):
    """Makes short-lived URLs by which clients reach the store itself, each good for one method and one key."""

    def part(self, key: str, number: int, lifetime_s: int | None = None) -> str:
        """Takes a PUT of this part of an object in progress; raises ObjectNotFound."""
        ...

    def download(self, key: str, shown: Presentation) -> str:
        """Answers a GET of this object."""
        ...


class BlobStore(Protocol):
    """Objects under keys, which ``blobs/keys.py`` makes."""

    limits: Limits
    can_join: bool
    """Whether `join` is worth an attempt."""
    is_exclusive: bool
    """Whether this process is the only one that writes to what is staged here."""

    @property
    def presigner(self) -> Presigner | None:
        """None where clients cannot be sent to the store itself."""
        ...

    def begin(self, key: str) -> None:
        """Begin to stage the object `key`."""
        ...

    def write_part(self, key: str, number: int, offset: int) -> PartWriter:
        """Write part `number` (from 0), which begins at `offset` of the object; in any order, also at once."""
        ...

    def staged_parts(self, key: str) -> Mapping[int, int] | None:
        """Sizes of the parts that are staged, by number; None when the store keeps no parts apart.

        Then only those who wrote them know. Raises ObjectNotFound when the object is not in progress.
        """
        ...

    def finish(self, key: str) -> None:
        """Make the staged bytes the object `key`, durably and at once.

        Finishing again, with nothing staged and the object there, is success. Raises ObjectNotFound when
        neither is there.
        """
        ...

    def join(self, key: str, ranges: Sequence[Range]) -> bool:
        """Make ranges of finished objects the object `key`, durably and at once, without copying; what they lie in may
        be deleted afterwards. False where the store cannot, or one of them is gone: then nothing has happened.
        Raises StorageFull.
        """
        ...

    def reopen(self, key: str, new_key: str, part_nbytes: int, without: Collection[int] = ()) -> None:
        """Begin `new_key` with the parts of the finished object `key`, but for some that have to be sent again.

        The object `key` may be gone afterwards. Raises ObjectNotFound when it is not there.
        """
        ...

    def abort(self, key: str) -> None:
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

    def list_staged(self) -> Iterator[StagedObject]:
        """What is in progress."""
        ...

    def free_nbytes(self) -> int | None:
        """Room left, or None when the store does not know."""
        ...

    def check(self) -> None:
        """Ask the store for a sign of life, within seconds; raises StoreUnavailable."""
        ...
