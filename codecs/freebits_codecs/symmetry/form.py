"""The symmetric form of a file: a safetensors file with fewer bytes, and the recipe to make the file of it.

Tensors that are kept stand in it under their names, those that are made again are absent, and what they are made of are
its *parts*, tensors whose names begin with `PART_PREFIX`. The recipe is JSON in its metadata. The form is encoded like
any safetensors file, so exponent coding comes on top; the header of the container says that it is a form.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from freebits_codecs.container.records import SYMMETRIC
from freebits_codecs.errors import NotSymmetric
from freebits_codecs.files import encode_file
from freebits_codecs.formats.layout import Tensor
from freebits_codecs.symmetry.safetensors_file import METADATA, Described, SafetensorsFile, lay_out

PART_PREFIX = "freebits."
HEAD_PART = PART_PREFIX + "head"
"""The bytes of the file before its data, as U8."""

RECIPE_KEY = "freebits.recipe"
RECIPE_VERSION = 1
Recipe = dict[str, Any]
_COPY_NBYTES = 8 << 20
_DTYPES = {"u1": "U8", "u2": "U16", "u4": "U32", "i4": "I32", "f4": "F32", "f8": "F64"}


class Parts:
    """Parts as they are made, in a scratch file; `path` is removed by whoever made the folder."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("w+b")
        self.described: list[Described] = []

    def add(self, name: str, array: NDArray[Any], dtype: str | None = None) -> str:
        """Add an array as `name`; its name in the form. `dtype` names what words of floats are."""
        full = PART_PREFIX + name
        kind = dtype or _DTYPES[array.dtype.newbyteorder("<").str[1:]]
        self.described.append(Described(full, kind, array.shape))
        self._file.write(np.ascontiguousarray(array).tobytes())
        return full

    def copy(self) -> Iterator[bytes]:
        """All parts, in order."""
        self._file.seek(0)
        while piece := self._file.read(_COPY_NBYTES):
            yield piece

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True, slots=True)
class Stored:
    """A form that was written: of what length and digest its file is, and how long its container is."""

    nbytes: int
    sha256: str
    container_nbytes: int


def write_form(
    container: Path,
    plain: SafetensorsFile,
    hidden: Iterable[str],
    parts: Parts,
    recipe: Recipe,
    *,
    threads: int = 1,
) -> Stored:
    """Encode the form of `plain`, a file all of whose tensors are written; those in `hidden` are left out.

    `recipe` is completed by what every form has. `plain` is finished, its path stays. Raises NotSymmetric when a tensor
    has a name that the form has itself.
    """
    for name in plain.entries:
        if name == METADATA or name.startswith(PART_PREFIX):
            raise NotSymmetric(f"{name} is a tensor's name, expected none like {PART_PREFIX}*", "rename it")
    sha256 = plain.finish()
    absent = set(hidden)
    kept = [entry for entry in plain.entries.values() if entry.name not in absent]
    parts.add(HEAD_PART.removeprefix(PART_PREFIX), np.frombuffer(plain.head, np.uint8))
    whole: Recipe = {**recipe, "version": RECIPE_VERSION, "nbytes": plain.nbytes, "sha256": sha256}
    tensors = [Described(entry.name, entry.dtype, entry.shape) for entry in kept] + parts.described
    head, _ = lay_out(tensors, {RECIPE_KEY: json.dumps(whole, separators=(",", ":"))})
    with plain.path.open("rb") as file:
        source = _Chain(head, file, kept, parts)
        summary = encode_file(source, container, threads=threads, form=SYMMETRIC)  # type: ignore[arg-type]
    return Stored(plain.nbytes, sha256, summary.stored_nbytes)


class _Chain(io.RawIOBase):
    """Head, kept tensors and parts one after the other, as a file that is read front to back."""

    def __init__(self, head: bytes, file: BinaryIO, kept: list[Tensor], parts: Parts) -> None:
        self._pieces = self._all(head, file, kept, parts)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    @staticmethod
    def _all(head: bytes, file: BinaryIO, kept: list[Tensor], parts: Parts) -> Iterator[bytes]:
        yield head
        for entry in kept:
            file.seek(entry.start)
            for at in range(entry.start, entry.stop, _COPY_NBYTES):
                yield file.read(min(_COPY_NBYTES, entry.stop - at))
        yield from parts.copy()
