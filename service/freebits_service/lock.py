"""One hub per data folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class DataFolderInUse(RuntimeError):
    """Another hub process holds the data folder."""

    def __init__(self, folder: Path, holder: str) -> None:
        super().__init__(
            f"the data folder {folder} is in use by another hub (process {holder or 'unknown'}); "
            "stop that one, or give this one another folder with --data"
        )


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Hold the data folder for this process; the kernel lets go of it however the process ends.

    Raises
    ------
    DataFolderInUse
        A process that lives holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fd = os.open(folder / "hub.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataFolderInUse(folder, os.pread(fd, 32, 0).decode(errors="replace").strip()) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)
