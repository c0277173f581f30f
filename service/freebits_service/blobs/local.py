"""Objects as files in a folder.

An object in progress is one sparse file; each part is written at its offset, so parts may come in any order and
finishing copies nothing: fsync, rename into place, fsync of the folder. A reader holds the file open, so it
reads on after the object was deleted; a writer that holds it open is refused once the object is finished.

    blobs/...            objects, by key; with ``.joined`` those that are made of others (``local_joined.py``)
    staging/<key>        objects in progress, or on their way out; each ``/`` of the key is a ``%``
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import structlog

from ..errors import StorageFull
from .local_joined import SUFFIX, JoinedReader, describe_joined, remove_joined, write_joined
from .local_parts import LocalPartWriter, OpenParts, storage_full_translated
from .local_reader import LocalReader
from .store import Limits, ObjectNotFound, Range, StagedObject, StoredObject

STAGING = "staging"
NO_LINKS = {errno.EPERM, errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP}  # of a file system without hard links

log = structlog.get_logger()


class LocalBlobStore:
    """A `BlobStore` in the folder `root`."""

    limits = Limits()
    presigner = None
    is_exclusive = True  # one hub holds the folder; its workers write other keys

    def __init__(self, root: Path) -> None:
        self._root = root
        self._open_parts = OpenParts()
        self.can_join = True
        with storage_full_translated():
            (root / STAGING).mkdir(parents=True, exist_ok=True)

    def begin(self, key: str) -> None:
        """A new, empty staged file."""
        with storage_full_translated():
            self._staged(key).touch(exist_ok=False)

    def write_part(self, key: str, number: int, offset: int) -> LocalPartWriter:
        """Write into the staged file from `offset`."""
        return self._open_parts.open(self._staged(key), key, offset)

    def staged_parts(self, key: str) -> None:
        """Parts leave no trace in the file."""
        if not self._staged(key).exists():
            raise ObjectNotFound(key)

    def finish(self, key: str) -> None:
        """fsync, rename, fsync the folder; see `BlobStore.finish`."""
        staged, path = self._staged(key), self._root / key
        self._open_parts.revoke(key)
        with storage_full_translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                _fsync(staged)
                staged.replace(path)
            except FileNotFoundError:
                if not path.exists():
                    raise ObjectNotFound(key) from None
            self._open_parts.revoke(key)  # any that began before the rename; none can begin after it
            _fsync(path.parent)
            _fsync(path.parent.parent)

    def join(self, key: str, ranges: Sequence[Range]) -> bool:
        """Hard links to what they lie in, where the file system has them."""
        staged, folder = self._staged(key), self._joined(key)
        try:
            with storage_full_translated():
                write_joined(staged, self._root, ranges)
                _fsync(staged)
                folder.parent.mkdir(parents=True, exist_ok=True)
                staged.replace(folder)
        except (OSError, StorageFull) as error:
            shutil.rmtree(staged, ignore_errors=True)
            if not isinstance(error, OSError) or error.errno not in {*NO_LINKS, errno.EMLINK, errno.ENOENT}:
                raise
            if error.errno in NO_LINKS:
                self.can_join = False  # they would be missed again each time
                log.warning("objects are copied, for they cannot be joined", error=str(error))
            return False
        _fsync(folder.parent)
        _fsync(folder.parent.parent)
        return True

    def reopen(self, key: str, new_key: str, part_nbytes: int, without: Collection[int] = ()) -> None:
        """Move the file back."""
        try:
            (self._root / key).replace(self._staged(new_key))
        except FileNotFoundError:
            raise ObjectNotFound(key) from None

    def abort(self, key: str) -> None:
        """Remove the staged file, or what is left of a joined object."""
        staged = self._staged(key)
        if staged.is_dir():
            shutil.rmtree(staged, ignore_errors=True)
        else:
            staged.unlink(missing_ok=True)

    def open(self, key: str) -> LocalReader | JoinedReader:
        """Open the file of an object."""
        try:
            return LocalReader(self._root / key, key)
        except ObjectNotFound:
            return JoinedReader(self._joined(key), key)

    def stat(self, key: str) -> StoredObject:
        """Size and age of the file."""
        try:
            return _describe(self._root / key, key)
        except (FileNotFoundError, NotADirectoryError):
            return describe_joined(self._joined(key), key)

    def delete(self, key: str) -> None:
        """Remove the file; whoever has it open reads on."""
        (self._root / key).unlink(missing_ok=True)
        remove_joined(self._joined(key), self._staged(key))

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Walk the folder that `prefix` names, a folder at a time."""
        start = self._root / prefix.rpartition("/")[0]
        for folder, folders, files in os.walk(start):
            joined = [name for name in folders if name.endswith(SUFFIX)]
            folders[:] = [name for name in folders if not name.endswith(SUFFIX)]
            for name in (*files, *(name.removesuffix(SUFFIX) for name in joined)):
                key = (Path(folder) / name).relative_to(self._root).as_posix()
                if key.startswith(prefix):
                    with suppress(ObjectNotFound):  # it went away between being listed and being looked at
                        yield self.stat(key)

    def list_staged(self) -> Iterator[StagedObject]:
        """The staged files; `modified_at` is when one was last written to."""
        for entry in os.scandir(self._root / STAGING):
            with suppress(FileNotFoundError):
                found = _describe(Path(entry.path), entry.name.replace("%", "/"))
                yield StagedObject(found.name, found.modified_at)

    def free_nbytes(self) -> int:
        """Room on the file system for an ordinary user."""
        status = os.statvfs(self._root)
        return status.f_bavail * status.f_frsize

    def check(self) -> None:
        """Look at the folder; an OSError says what is wrong with it."""
        os.stat(self._root / STAGING)

    def _joined(self, key: str) -> Path:
        return self._root / f"{key}{SUFFIX}"

    def _staged(self, key: str) -> Path:
        return self._root / STAGING / key.replace("/", "%")


def _describe(path: Path, name: str) -> StoredObject:
    status = path.stat()
    return StoredObject(name, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def _fsync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
