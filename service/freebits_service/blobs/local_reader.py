"""An object that is a file, read at offsets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from .store import ObjectNotFound


class LocalReader:
    """A file open for reading at offsets."""

    def __init__(self, path: Path, key: str) -> None:
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            raise ObjectNotFound(key) from None
        self.nbytes = os.fstat(self._fd).st_size
        self._key = key

    def read_at(self, offset: int, nbytes: int) -> bytes:
        """Exactly `nbytes` bytes from `offset`; raises EOFError when the object ends before."""
        data = os.pread(self._fd, nbytes, offset)
        if len(data) == nbytes:
            return data
        return self._read_rest(data, offset, nbytes)

    def _read_rest(self, data: bytes, offset: int, nbytes: int) -> bytes:
        gathered = bytearray(data)
        while len(gathered) < nbytes:
            more = os.pread(self._fd, nbytes - len(gathered), offset + len(gathered))
            if not more:
                end = offset + nbytes
                raise EOFError(f"{self._key!r} ends at {offset + len(gathered)}, wanted bytes up to {end}")
            gathered += more
        return bytes(gathered)

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
