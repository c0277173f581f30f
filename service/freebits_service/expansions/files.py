"""Expanded files in a folder, at most so many bytes of them: who was read longest ago goes first.

    <data>/expanded/<sha256>            whole, its digest compared
    <data>/expanded/<sha256>.<random>   on its way; nobody reads it

A file that goes stays readable to whoever has it open. What the folder holds is known to the process alone that uses
it, so it begins with an empty one.
"""

from __future__ import annotations

import secrets
import shutil
import threading
from collections import OrderedDict
from pathlib import Path

from ..blobs.local_parts import storage_full_translated
from ..blobs.local_reader import LocalReader
from ..blobs.store import ObjectNotFound
from ..errors import StorageFull


class ExpandedFiles:
    """The folder and what is in it; safe to share between threads."""

    def __init__(self, folder: Path, limit_nbytes: int, min_free_nbytes: int) -> None:
        """Raises StorageFull."""
        self._folder, self._limit_nbytes, self._min_free_nbytes = folder, limit_nbytes, min_free_nbytes
        self._files: OrderedDict[str, int] = OrderedDict()
        self._on_their_way: dict[Path, int] = {}
        self._lock = threading.Lock()
        with storage_full_translated():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, mode=0o700, exist_ok=True)

    def open(self, sha256: str) -> LocalReader | None:
        """The file of this digest, if it is here."""
        with self._lock:
            if sha256 not in self._files:
                return None
            self._files.move_to_end(sha256)
            try:
                return LocalReader(self._folder / sha256, sha256)
            except ObjectNotFound:  # somebody emptied the folder
                del self._files[sha256]
                return None

    def begin(self, sha256: str, nbytes: int) -> Path:
        """Where to write a file of this size; room is made for it. Raises StorageFull.

        A file that is longer than all that may be kept is kept alone.
        """
        path = self._folder / f"{sha256}.{secrets.token_hex(4)}"
        with self._lock:
            self._make_room(nbytes)
            free = shutil.disk_usage(self._folder).free
            if free - sum(self._on_their_way.values()) - nbytes < self._min_free_nbytes:
                raise StorageFull(
                    f"a file of {nbytes} bytes cannot be expanded, {free} bytes are free on the hub's disk"
                )
            self._on_their_way[path] = nbytes
        return path

    def keep(self, sha256: str, path: Path) -> None:
        """What was written is whole; it can be opened from now on."""
        with self._lock:
            path.replace(self._folder / sha256)
            self._files[sha256] = self._on_their_way.pop(path)
            self._files.move_to_end(sha256)

    def drop(self, path: Path) -> None:
        """What was written is of no use."""
        with self._lock:
            del self._on_their_way[path]
            path.unlink(missing_ok=True)

    def forget(self, sha256: str) -> None:
        """The file is not to be read any more: it has changed on the disk."""
        with self._lock:
            self._remove(sha256)

    def _make_room(self, nbytes: int) -> None:
        coming = nbytes + sum(self._on_their_way.values())
        while self._files and sum(self._files.values()) + coming > self._limit_nbytes:
            self._remove(next(iter(self._files)))

    def _remove(self, sha256: str) -> None:
        if self._files.pop(sha256, None) is not None:
            (self._folder / sha256).unlink(missing_ok=True)
