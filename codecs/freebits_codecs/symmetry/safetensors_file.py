"""Write a safetensors file whose tensors come in any order."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from freebits_codecs.dtype import DTYPES
from freebits_codecs.formats.layout import Tensor

ALIGNMENT = 8
METADATA = "__metadata__"
_HASH_NBYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Described:
    """A tensor that a file is to hold."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * DTYPES[self.dtype].itemsize


def lay_out(tensors: Iterable[Described], metadata: dict[str, str]) -> tuple[bytes, list[Tensor]]:
    """The bytes before the data, and where each tensor goes; in the order given, without holes."""
    header: dict[str, object] = {METADATA: metadata} if metadata else {}
    at, places = 0, []
    for tensor in tensors:
        header[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [at, at + tensor.nbytes],
        }
        places.append((tensor, at))
        at += tensor.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    head = len(text).to_bytes(8, "little") + text
    return head, [
        Tensor(tensor.name, tensor.dtype, tensor.shape, len(head) + at, len(head) + at + tensor.nbytes)
        for tensor, at in places
    ]


class SafetensorsFile:
    """A new file at `path`: write every tensor once, then `finish`."""

    def __init__(self, path: Path, tensors: Iterable[Described], metadata: dict[str, str]) -> None:
        self.path = path
        self.head, entries = lay_out(tensors, metadata)
        self.entries = {entry.name: entry for entry in entries}
        self.nbytes = max((entry.stop for entry in entries), default=len(self.head))
        self._missing = set(self.entries)
        self._file: BinaryIO = path.open("w+b")
        self._file.write(self.head)
        self._file.truncate(self.nbytes)

    def write(self, name: str, data: bytes | memoryview) -> None:
        """Raises ValueError when the length is not the tensor's."""
        entry = self.entries[name]
        if len(data) != entry.stop - entry.start:
            raise ValueError(f"{name}: {len(data)} bytes, expected {entry.stop - entry.start}")
        self._file.seek(entry.start)
        self._file.write(data)
        self._missing.discard(name)

    def read(self, name: str) -> bytes:
        """What was written."""
        entry = self.entries[name]
        self._file.seek(entry.start)
        return self._file.read(entry.stop - entry.start)

    def finish(self) -> str:
        """`seal`, and the file's SHA-256."""
        digest = hashlib.sha256()
        self._file.seek(0)
        while piece := self._file.read(_HASH_NBYTES):
            digest.update(piece)
        self.seal()
        return digest.hexdigest()

    def seal(self) -> None:
        """Close the file. Raises ValueError when a tensor was not written."""
        if self._missing:
            raise ValueError(f"{sorted(self._missing)[:3]} and {len(self._missing)} in all were not written")
        self._file.close()

    def close(self) -> None:
        self._file.close()
