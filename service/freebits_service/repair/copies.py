"""Is a stored copy of a blob what the database says? Reads objects, changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from freebits_codecs.errors import CannotReproduce, MissingLibrary

from ..blobs.store import BlobStore, ObjectNotFound, ObjectReader
from ..blobs.verify import Watcher, check_bytes, check_container, check_symmetric
from ..errors import DigestMismatch
from ..models import Blob

Depth = Literal["fast", "bytes", "deep"]  # sizes only; stored bytes hashed; also decoded
Passing = Callable[[int], None]  # told of so many bytes before they are read; may wait


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a copy."""

    kind: str
    detail: str
    is_damage: bool = True


class CountingReader:
    """An object reader that tells of every read before it is made."""

    def __init__(self, reader: ObjectReader, passing: Passing) -> None:
        self._reader, self._passing = reader, passing
        self.nbytes = reader.nbytes

    def read_at(self, offset: int, nbytes: int) -> bytes:
        """Exactly `nbytes` bytes from `offset`; raises EOFError when the object ends before."""
        self._passing(nbytes)
        return self._reader.read_at(offset, nbytes)

    def close(self) -> None:
        """Let go of the object."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def examine_raw(store: BlobStore, blob: Blob, depth: Depth, passing: Passing) -> Problem | None:
    """The problem with the raw copy, None when it is whole."""
    assert blob.raw_key is not None
    return _examine(store, blob.raw_key, (blob.nbytes, blob.sha256), depth, passing)


def examine_container(
    store: BlobStore, blob: Blob, depth: Depth, passing: Passing, scratch: Path | None, watcher: Watcher | None = None
) -> Problem | None:
    """The problem with the container, None when it is whole; `watcher` sees it decoded when it is.

    A symmetric form is expanded in `scratch`, which it needs where others are decoded.
    """
    assert blob.container_key is not None
    stored = (blob.container_nbytes or 0, blob.container_sha256 or "")
    problem = _examine(store, blob.container_key, stored, depth, passing)
    if problem is not None or (depth != "deep" and watcher is None):
        return problem
    try:
        with CountingReader(store.open(blob.container_key), passing) as reader:
            if blob.symmetric:
                assert scratch is not None
                check_symmetric(reader, blob.nbytes, blob.sha256, scratch, watcher)
            else:
                check_container(reader, blob.nbytes, blob.sha256, watcher)
    except ObjectNotFound:
        return Problem("missing-object", f"nothing at {blob.container_key}")
    except (CannotReproduce, MissingLibrary) as error:
        return Problem("not-expandable", f"{blob.container_key}: {error}", is_damage=False)
    except (DigestMismatch, OSError) as error:
        return Problem("undecodable", f"{blob.container_key}: {error}")
    return None


def _examine(store: BlobStore, key: str, stored: tuple[int, str], depth: Depth, passing: Passing) -> Problem | None:
    nbytes, sha256 = stored
    try:
        found = store.stat(key).nbytes
        if found != nbytes:
            return Problem("wrong-size", f"{key} has {found} bytes, expected {nbytes}")
        if depth != "fast":
            with CountingReader(store.open(key), passing) as reader:
                check_bytes(reader, nbytes, sha256)
    except ObjectNotFound:
        return Problem("missing-object", f"nothing at {key}")
    except DigestMismatch as error:
        return Problem("wrong-hash", f"{key}: {error}")
    except (EOFError, OSError) as error:
        return Problem("unreadable", f"{key}: {error}")
    return None
