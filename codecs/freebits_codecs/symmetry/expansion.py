"""Make the plain file of a symmetric form."""

from __future__ import annotations

import hashlib
import math
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

from freebits_codecs.container.reader import ContainerReader, RangeSource
from freebits_codecs.container.records import SYMMETRIC
from freebits_codecs.dtype import DTYPES
from freebits_codecs.errors import CannotReproduce, CorruptContainer, LimitExceeded, UnsupportedFormat
from freebits_codecs.formats.layout import Tensor
from freebits_codecs.formats.safetensors import MAX_HEADER_NBYTES
from freebits_codecs.symmetry.algebra import Algebra, open_algebra
from freebits_codecs.symmetry.bits_back import reveal
from freebits_codecs.symmetry.floats import FLOAT_TYPES, FloatType, Words
from freebits_codecs.symmetry.form import HEAD_PART, PART_PREFIX, RECIPE_KEY, RECIPE_VERSION, Recipe
from freebits_codecs.symmetry.form_header import json_object, parse_header, read_entries, whole_number
from freebits_codecs.symmetry.lora_gauge import PIVOTS, unpack_pivots
from freebits_codecs.symmetry.polar import POLAR, make_polar
from freebits_codecs.symmetry.safetensors_file import METADATA
from freebits_codecs.symmetry.triangular import TRIANGLE, unpack_triangle

MAX_ROWS = 1 << 16
"""Rows of a matrix that is made again, or its pivots; their square is allocated."""

MAX_GROWTH = 64
"""A file is at most this many times as long as its form: matrices grow at most from nothing to all."""

_COPY_NBYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Expanded:
    """The plain file that was written."""

    nbytes: int
    sha256: str


def expand(source: RangeSource, target: Path, *, threads: int = 1, device: str | None = None) -> Expanded:
    """Write the plain file of the symmetric container `source` to `target`, and check its digest.

    Kept tensors are copied with bounded memory; one that is made again takes a few float64 matrices of its size.
    Raises FormatError, UnsupportedFormat, LimitExceeded; UnexpectedForm when the container is not symmetric;
    CannotReproduce when all is intact and the digest still differs; MissingLibrary.
    """
    with target.open("w+b") as file:
        return _expand(source, file, threads, device)


def expand_to(source: RangeSource, sink: BinaryIO, *, threads: int = 1, device: str | None = None) -> Expanded:
    """The same into any binary file; one that cannot be read again or sought gets the bytes when all are right."""
    if sink.seekable() and sink.readable() and sink.tell() == 0:
        return _expand(source, sink, threads, device)
    with tempfile.TemporaryFile() as file:
        expanded = _expand(source, file, threads, device)
        file.seek(0)
        shutil.copyfileobj(file, sink, _COPY_NBYTES)
        return expanded


def _expand(source: RangeSource, file: IO[bytes], threads: int, device: str | None) -> Expanded:
    form = OpenForm(ContainerReader(source, threads, SYMMETRIC))
    algebra = open_algebra(device)
    file.write(form.plain_head)
    file.truncate(form.nbytes)
    for entry in form.plain.values():
        if entry.name in form.entries:
            form.copy(entry, file)
    for name, words in form.made(algebra):
        file.seek(form.plain[name].start)
        file.write(words.tobytes())
    sha256 = _digest(file)
    if sha256 != form.sha256:
        raise CannotReproduce(
            f"the file of a {str(form.recipe.get('method'))[:40]} form", found=sha256, expected=form.sha256
        )
    return Expanded(form.nbytes, sha256)


class OpenForm:
    """A symmetric form: its recipe, its tensors, and where those of the plain file go. Everything is checked first."""

    def __init__(self, reader: ContainerReader) -> None:
        self._reader = reader
        self._window, self._window_start = b"", 0
        header, self._data_start = _read_header(reader)
        self.recipe = _read_recipe(header)
        self.entries = read_entries(header, self._data_start, reader.nbytes)
        self.nbytes: int = self.recipe["nbytes"]
        self.sha256: str = self.recipe["sha256"]
        if self.nbytes > MAX_GROWTH * reader.nbytes:
            raise LimitExceeded("length of a plain file", found=self.nbytes, limit=MAX_GROWTH * reader.nbytes)
        self.plain_head = self.part(HEAD_PART, "U8").tobytes()
        if int.from_bytes(self.plain_head[:8], "little") != len(self.plain_head) - 8:
            raise CorruptContainer("head of a plain file", found=len(self.plain_head), expected="8 bytes and a header")
        self.plain = read_entries(parse_header(self.plain_head[8:]), len(self.plain_head), self.nbytes)
        self._check_kept()

    def copy(self, entry: Tensor, file: IO[bytes]) -> None:
        """A kept tensor to its place in the plain file."""
        at = self.entries[entry.name]
        file.seek(entry.start)
        for start in range(at.start, at.stop, _COPY_NBYTES):
            file.write(self._read(start, min(start + _COPY_NBYTES, at.stop)))

    def made(self, algebra: Algebra) -> Iterator[tuple[str, Words]]:
        """Names and words of the tensors that are made again; each exactly once. Raises CorruptContainer."""
        missing = {name for name in self.plain if name not in self.entries}
        for name, words in self._all_made(algebra):
            if name not in missing:
                raise CorruptContainer("recipe", found=f"{name[:80]} twice", expected="every tensor once")
            missing.discard(name)
            yield name, words
        if missing:
            raise CorruptContainer("recipe", found=f"nothing for {sorted(missing)[:3]}", expected="every tensor")

    def _all_made(self, algebra: Algebra) -> Iterator[tuple[str, Words]]:
        if "stack" in self.recipe:
            yield from reveal(json_object(self.recipe["stack"], "stack"), self, algebra)
        for name, step in json_object(self.recipe.get("made", {}), "made").items():
            yield name, self._make(name, json_object(step, "step"), algebra)

    def part(self, name: object, *dtypes: str) -> Words:
        """A part of one of these dtypes, as words."""
        entry = self._entry(name)
        if entry.dtype not in dtypes or not entry.name.startswith(PART_PREFIX) or len(entry.shape) > 2:
            raise CorruptContainer(
                f"part {entry.name[:80]}", found=f"{entry.dtype}, {entry.shape[:3]}", expected=" or ".join(dtypes)
            )
        word = f"<u{DTYPES[entry.dtype].itemsize}"
        return np.frombuffer(self._read(entry.start, entry.stop), word).reshape(entry.shape)

    def kept(self, name: object) -> Words:
        """A kept matrix."""
        entry = self._entry(name)
        kind = FLOAT_TYPES.get(entry.dtype)
        if kind is None or entry.name not in self.plain or len(entry.shape) != 2:
            raise CorruptContainer("anchor", found=f"{entry.name[:80]}, {entry.dtype}", expected="a kept float matrix")
        return np.frombuffer(self._read(entry.start, entry.stop), kind.word).reshape(entry.shape)

    def hidden(self, name: object) -> tuple[FloatType, int]:
        """Dtype and element count of a tensor that is not kept."""
        entry = self.plain.get(name) if isinstance(name, str) else None
        kind = FLOAT_TYPES.get(entry.dtype) if entry else None
        if entry is None or kind is None or entry.name in self.entries:
            raise CorruptContainer(
                "hidden tensor", found=repr(name)[:80], expected="a tensor of floats that is not kept"
            )
        return kind, math.prod(entry.shape)

    def described(self, name: object) -> tuple[str, tuple[int, ...]]:
        """Dtype and shape of a tensor of the form. Raises CorruptContainer."""
        entry = self._entry(name)
        return entry.dtype, entry.shape

    def _make(self, name: str, step: Recipe, algebra: Algebra) -> Words:
        kind, numel = self.hidden(name)
        shape = self.plain[name].shape
        if len(shape) != 2 or not numel:
            raise CorruptContainer(f"shape of {name[:80]}", found=shape[:3], expected="rows and columns")
        how = step.get("as")
        if (rows := min(shape) if how == PIVOTS else shape[0]) > MAX_ROWS:
            raise LimitExceeded(f"rows of {name[:80]}", found=rows, limit=MAX_ROWS)
        packed = self.part(step.get("part"), kind.name)
        if how == TRIANGLE:
            return unpack_triangle(packed, shape)
        if how == POLAR:
            return make_polar(packed, step.get("rank"), shape, kind, algebra)
        if how == PIVOTS:
            return unpack_pivots(packed, self.part(step.get("pivots"), "U32"), shape, step.get("axis"), kind)
        raise CorruptContainer(
            f"recipe of {name[:80]}", found=repr(how)[:80], expected=f"{TRIANGLE}, {POLAR} or {PIVOTS}"
        )

    def _read(self, start: int, stop: int) -> bytes:
        """Bytes of the form; small tensors share a chunk, which is decoded once for those that follow each other."""
        step = self._reader.chunk_nbytes
        if stop - start >= step:
            return self._reader.read(start, stop)
        if not self._window_start <= start <= stop <= self._window_start + len(self._window):
            self._window_start = start // step * step
            self._window = self._reader.read(self._window_start, -(-stop // step) * step)
        return self._window[start - self._window_start : stop - self._window_start]

    def _entry(self, name: object) -> Tensor:
        entry = self.entries.get(name) if isinstance(name, str) else None
        if entry is None:
            raise CorruptContainer("tensor of a form", found=repr(name)[:80], expected="one of those in its header")
        return entry

    def _check_kept(self) -> None:
        """What is kept must be in both files alike, and nothing may stand in the form for no purpose."""
        for name, entry in self.plain.items():
            other = self.entries.get(name)
            if name.startswith(PART_PREFIX):
                raise CorruptContainer("tensor of a plain file", found=name[:80], expected=f"no {PART_PREFIX}*")
            if other and (other.dtype, other.shape) != (entry.dtype, entry.shape):
                raise CorruptContainer(f"kept tensor {name[:80]}", found=other.shape[:3], expected=entry.shape[:3])
        for name in self.entries:
            if name not in self.plain and not name.startswith(PART_PREFIX):
                raise CorruptContainer("tensor of a form", found=name[:80], expected="a part, or one of the plain file")


def _read_header(reader: ContainerReader) -> tuple[dict[str, Any], int]:
    nbytes = int.from_bytes(reader.read(0, 8), "little")
    if nbytes > min(MAX_HEADER_NBYTES, reader.nbytes):
        raise LimitExceeded("header of a form", found=nbytes, limit=min(MAX_HEADER_NBYTES, reader.nbytes))
    return parse_header(reader.read(8, 8 + nbytes)), 8 + nbytes


def _read_recipe(header: dict[str, Any]) -> Recipe:
    metadata = json_object(header.get(METADATA, {}), METADATA)
    text = metadata.get(RECIPE_KEY)
    if not isinstance(text, str) or len(metadata) != 1:
        raise CorruptContainer("metadata of a form", found=str(list(metadata))[:80], expected=f"{RECIPE_KEY}, a text")
    recipe = parse_header(text)
    version = whole_number(recipe.get("version"))
    if version > RECIPE_VERSION:
        raise UnsupportedFormat(found=version, supported=RECIPE_VERSION, what="recipe version")
    sha256 = recipe.get("sha256")
    is_digest = isinstance(sha256, str) and re.fullmatch("[0-9a-f]{64}", sha256)
    if version < 1 or whole_number(recipe.get("nbytes")) < 0 or not is_digest:
        raise CorruptContainer("recipe of a form", found=version, expected="a version, a length and a SHA-256")
    return recipe


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    while piece := file.read(_COPY_NBYTES):
        digest.update(piece)
    return digest.hexdigest()
