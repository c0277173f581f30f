"""Local work of a push: digests, and the container of a file. Runs in threads."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from freebits.errors import IntegrityError
from freebits.running_out import no_space

_READ_NBYTES = 1 << 20
_SAMPLE_NBYTES = 256 << 10
_SAMPLES = 3


class EncodingStopped(Exception):
    """The caller no longer wants the container, or the disk has no room for it."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """What `encode_to` wrote."""

    original_sha256: str
    stored_nbytes: int
    stored_sha256: str


def hash_file(path: Path, nbytes: int, check_stop: Callable[[], None]) -> str:
    """Hex SHA-256 of a file that must have `nbytes` bytes; `check_stop` may raise on the way.

    Raises IntegrityError when it has another size by now.
    """
    digest, hashed_nbytes = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as file:
        buffer = memoryview(bytearray(_READ_NBYTES))
        while read := file.readinto(buffer):
            check_stop()
            digest.update(buffer[:read])
            hashed_nbytes += read
    if hashed_nbytes != nbytes:
        raise file_changed(path)
    return digest.hexdigest()


def file_changed(path: Path) -> IntegrityError:
    """The error for a file that changed between two looks at it."""
    return IntegrityError(f"{path} changed while it was pushed; run the same command again once it rests")


def sample_ratio(path: Path, nbytes: int) -> float:
    """stored / original of a few pieces of the file, a cheap estimate of the whole file's."""
    from freebits_codecs import encode  # noqa: PLC0415  numpy costs 0.1 s, and most commands need none

    with path.open("rb") as file:
        pieces = [_piece(file, nbytes * (i + 1) // (_SAMPLES + 1)) for i in range(_SAMPLES)]
    original = sum(map(len, pieces))
    return sum(len(encode(piece)) for piece in pieces) / original if original else 1.0


def encode_to(source: Path, draft: Path, *, threads: int, go_on: Callable[[int, int], bool]) -> Encoded:
    """Encode `source` into the new file `draft`.

    `go_on(done_nbytes, stored_nbytes)` is asked on the way; EncodingStopped when it answers False or the disk
    is full, in which case `draft` is left for the caller to remove.
    """
    from freebits_codecs import encode_file  # noqa: PLC0415

    def progress(done_nbytes: int, stored_nbytes: int) -> None:
        if not go_on(done_nbytes, stored_nbytes):
            raise EncodingStopped

    try:
        with draft.open("wb") as file:
            out = _Hashing(file)
            summary = encode_file(source, cast(BinaryIO, out), threads=threads, progress=progress, sha256=True)
    except OSError as error:
        if no_space(error):
            raise EncodingStopped from error
        raise
    assert summary.sha256 is not None
    return Encoded(summary.sha256, out.nbytes, out.digest.hexdigest())


class _Hashing(io.RawIOBase):
    """A writable binary file that hashes what it is given, in order."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.nbytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        self.nbytes += len(data)
        return self._file.write(data)


def _piece(file: BinaryIO, start: int) -> bytes:
    file.seek(start - start % 16)
    return file.read(_SAMPLE_NBYTES)
