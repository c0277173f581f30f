"""A download in progress on disk, verified as far as it goes.

    <output>/.freebits/<sha256>.part       the first bytes of the original file
    <output>/.freebits/<sha256>.journal    lines "<nbytes> <sha256 of the first nbytes bytes>"

The bytes are appended in order, so the file's digest needs no second pass. After `kill -9` the next try
hashes what lies there against the journal, keeps the longest prefix that is right, and goes on behind it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from types import TracebackType

from freebits.errors import IntegrityError, UsageError
from freebits.running_out import explaining_full_disk

try:
    import fcntl
except ImportError:  # Windows: two pulls of the same file at once are not detected there
    fcntl = None  # type: ignore[assignment]

FOLDER = ".freebits"
_JOURNAL_EVERY_NBYTES = 8 << 20
_READ_NBYTES = 1 << 20


class PartFile:
    """The `.part` file of one digest; a context manager that holds a lock while it is open."""

    def __init__(self, output: Path, sha256: str, nbytes: int) -> None:
        self._folder = output / FOLDER
        self._path = self._folder / f"{sha256}.part"
        self._journal_path = self._folder / f"{sha256}.journal"
        self._sha256 = sha256
        self.total_nbytes = nbytes
        self.nbytes = 0
        self._journalled = 0
        self._hash = hashlib.sha256()

    def __enter__(self) -> PartFile:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b")
        with contextlib.ExitStack() as undo:
            undo.callback(self._file.close)
            self._lock()
            self._keep_verified_prefix()
            self._journal = self._journal_path.open("a")
            undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Whatever stopped us, the bytes so far are worth keeping; a full disk may refuse even that.
        with contextlib.suppress(OSError):
            if self.nbytes > self._journalled and self._path.exists():
                self._write_journal()
        for file in (self._journal, self._file):
            with contextlib.suppress(OSError):
                file.close()

    def append(self, data: bytes | memoryview) -> None:
        """Write the next bytes of the original file. Raises NoSpace when the disk is full."""
        if self.nbytes + len(data) > self.total_nbytes:
            raise IntegrityError(f"the hub sent more than the {self.total_nbytes} bytes it announced")
        with explaining_full_disk(self._path):
            self._file.write(data)
            self._hash.update(data)
            self.nbytes += len(data)
            if self.nbytes - self._journalled >= _JOURNAL_EVERY_NBYTES:
                self._write_journal()

    def finish(self, target: Path) -> None:
        """Move the complete file to `target`, replacing what is there.

        Raises IntegrityError if it is wrong.
        """
        if self.nbytes != self.total_nbytes or self._hash.hexdigest() != self._sha256:
            self.discard()
            raise IntegrityError(
                f"{target}: expected SHA-256 {self._sha256} of {self.total_nbytes} bytes, received "
                f"{self._hash.hexdigest()} of {self.nbytes}; nothing was written; run the same command again "
                "and if it repeats tell the hub's administrator"
            )
        with explaining_full_disk(self._path):
            self._file.flush()
            target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(self._path, target)
        self._journal_path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove everything; the next try starts from the first byte."""
        self._path.unlink(missing_ok=True)
        self._journal_path.unlink(missing_ok=True)

    def _write_journal(self) -> None:
        self._file.flush()
        self._journal.write(f"{self.nbytes} {self._hash.hexdigest()}\n")
        self._journal.flush()
        self._journalled = self.nbytes

    def _lock(self) -> None:
        if fcntl is None:
            return
        with contextlib.suppress(OSError):
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        raise UsageError(f"{self._path} is being written by another pull; wait for it or stop it")

    def _keep_verified_prefix(self) -> None:
        """Hash the file up to each journal line in turn; stop at the first that is not right."""
        good = hashlib.sha256()
        for stop, digest in _read_journal(self._journal_path):
            if stop <= self.nbytes or stop > self.total_nbytes:
                break
            hashed = good.copy()
            if not _hash_more(self._file, hashed, stop - self.nbytes) or hashed.hexdigest() != digest:
                break
            good, self.nbytes = hashed, stop
        self._hash, self._journalled = good, self.nbytes
        self._file.seek(self.nbytes)
        if os.fstat(self._file.fileno()).st_size > self.nbytes:
            # Only then: ext4 writes a file that was ever truncated to nothing to the disk before it is closed.
            self._file.truncate()


def _hash_more(file: object, digest: object, nbytes: int) -> bool:
    """Feed the next `nbytes` bytes of `file` to `digest`; False when the file ends before."""
    while nbytes:
        data = file.read(min(nbytes, _READ_NBYTES))  # type: ignore[attr-defined]
        if not data:
            return False
        digest.update(data)  # type: ignore[attr-defined]
        nbytes -= len(data)
    return True


def _read_journal(path: Path) -> list[tuple[int, str]]:
    lines = path.read_text(errors="replace").split("\n")[:-1] if path.exists() else []
    pairs = [line.partition(" ") for line in lines]
    return [(int(stop), digest) for stop, _, digest in pairs if stop.isdecimal()]
