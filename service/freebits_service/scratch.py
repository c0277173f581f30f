"""Folders for what a process needs on disk for a while; nothing in them outlives it.

    <data>/scratch/<process>/<purpose>-<random>/

A process holds the lock of its folder for as long as it lives, and the kernel lets go of that however it ends. So who
finds a folder without a holder knows that nobody is at work there; workers look for such ones when they start.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import structlog

from .blobs.local_parts import storage_full_translated
from .errors import StorageFull
from .settings import Settings

log = structlog.get_logger()


class Scratch:
    """The folder of one process, made and held from the first need on."""

    def __init__(self, settings: Settings, process: str) -> None:
        """`process` names this one among all that share the data folder."""
        self._min_free_nbytes = settings.min_free_nbytes
        self._folder = settings.data / "scratch" / process
        self._held: int | None = None

    @contextmanager
    def folder(self, purpose: str, nbytes: int) -> Iterator[Path]:
        """An empty folder with room for `nbytes`, removed afterwards; raises StorageFull."""
        with storage_full_translated():
            self._hold()
            free = shutil.disk_usage(self._folder).free
            if free - nbytes < self._min_free_nbytes:
                raise StorageFull(
                    f"{nbytes} bytes are needed for a while in {self._folder.parent}, {free} are free and "
                    f"{self._min_free_nbytes} are kept free; make room there"
                )
            made = Path(tempfile.mkdtemp(prefix=f"{purpose}-", dir=self._folder))
        try:
            yield made
        finally:
            _remove(made)

    def sweep(self) -> None:
        """Remove what dead processes left."""
        with suppress(FileNotFoundError):
            for other in self._folder.parent.iterdir():
                if other != self._folder:
                    _remove_if_dead(other)

    def _hold(self) -> None:
        """Make the folder and hold it; once more if somebody swept it away before it was held."""
        while self._held is None:
            self._folder.mkdir(parents=True, mode=0o700, exist_ok=True)
            with suppress(FileNotFoundError):
                self._held = _held_if_there(self._folder)


def _held_if_there(folder: Path) -> int | None:
    """The lock of a folder, as a descriptor that stays open until the process ends; None when the folder is gone."""
    with ExitStack() as undo:
        held = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        undo.callback(os.close, held)
        fcntl.flock(held, fcntl.LOCK_SH)
        if os.path.samestat(os.fstat(held), folder.stat()):
            undo.pop_all()
            return held
    return None


def _remove_if_dead(folder: Path) -> None:
    try:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return  # somebody else removed it, or it is none of ours
    try:
        with suppress(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            log.info("what a dead process left is removed", folder=str(folder))
            _remove(folder)
    finally:
        os.close(held)


def _remove(folder: Path) -> None:
    """A child that was just killed may still be gone for a moment only; what it leaves goes at the next start."""
    shutil.rmtree(folder, onerror=lambda _, path, error: log.warning("stays for now", path=path, error=str(error[1])))
