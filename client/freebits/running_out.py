"""Tell a full local disk from other failures."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from freebits.errors import NoSpace


def no_space(error: OSError) -> bool:
    """True when the disk, or the user's quota on it, is full."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def check_room(folder: Path, nbytes: int) -> None:
    """Raise NoSpace when the disk of `folder`, which need not exist yet, has not `nbytes` bytes left."""
    existing = next(p for p in [folder, *folder.resolve().parents] if os.path.isdir(p))
    free = shutil.disk_usage(existing).free
    if nbytes > free:
        raise NoSpace(
            f"{folder}: {nbytes} bytes are to be written and {free} are free; "
            "make room, choose another folder with -o, or fetch fewer files with --include"
        )


@contextmanager
def explaining_full_disk(path: Path) -> Iterator[None]:
    """Turn a full disk into NoSpace; other errors pass."""
    try:
        yield
    except OSError as error:
        if not no_space(error):
            raise
        raise NoSpace(f"{path}: the disk is full; make room and run the same command again") from error
