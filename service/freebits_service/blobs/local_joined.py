"""Objects in a folder that are made of ranges of other objects, without a byte being copied.

    <path of the object>.joined/
        table.json      [number of the link, first byte, end] of each range, in order
        0, 1, ...       hard links to the objects that the ranges lie in: these may be deleted, their bytes stay

The folder is put together among what is staged, and renamed into place.
"""

from __future__ import annotations

import json
import os
import shutil
from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import Self

from .local_reader import LocalReader
from .store import ObjectNotFound, Range, StoredObject

SUFFIX = ".joined"
TABLE = "table.json"


def write_joined(folder: Path, root: Path, ranges: Sequence[Range]) -> None:
    """Links and table in a new folder, durably; raises OSError, also where the file system has no hard links."""
    folder.mkdir()
    numbers: dict[str, int] = {}
    for piece in ranges:
        if piece.key not in numbers:
            numbers[piece.key] = len(numbers)
            os.link(root / piece.key, folder / str(numbers[piece.key]))
    with (folder / TABLE).open("w") as table:
        json.dump([(numbers[piece.key], piece.start, piece.stop) for piece in ranges], table)
        table.flush()
        os.fsync(table.fileno())


def describe_joined(folder: Path, key: str) -> StoredObject:
    """Size and age; raises ObjectNotFound."""
    reader = JoinedReader(folder, key)
    return StoredObject(key, reader.nbytes, reader.modified_at)


def remove_joined(folder: Path, trash: Path) -> None:
    """At once for all who look for it, then in reality; nothing happens when there is none."""
    try:
        folder.replace(trash)
    except FileNotFoundError:
        return
    shutil.rmtree(trash, ignore_errors=True)


class JoinedReader:
    """Reads across the ranges. Holds no file open: there may be a thousand."""

    def __init__(self, folder: Path, key: str) -> None:
        self._folder, self._key = folder, key
        try:
            self.modified_at = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
            self._ranges: list[tuple[int, int, int]] = json.loads((folder / TABLE).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise ObjectNotFound(key) from None
        self._starts = list(accumulate((stop - start for _, start, stop in self._ranges), initial=0))
        self.nbytes = self._starts[-1]

    def read_at(self, offset: int, nbytes: int) -> bytes:
        """Exactly `nbytes` bytes from `offset`; raises EOFError when the object ends before, ObjectNotFound."""
        end = offset + nbytes
        if end > self.nbytes:
            raise EOFError(f"{self._key!r} ends at {self.nbytes}, wanted bytes up to {end}")
        pieces, number = [], bisect_right(self._starts, offset) - 1
        while offset < end:
            stop = min(end, self._starts[number + 1])
            link, start, _ = self._ranges[number]
            with LocalReader(self._folder / str(link), self._key) as reader:
                pieces.append(reader.read_at(start + offset - self._starts[number], stop - offset))
            offset, number = stop, number + 1
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Nothing to let go of."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
