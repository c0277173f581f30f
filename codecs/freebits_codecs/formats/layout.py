"""Where the tensors of a file lie: the values every reader produces, and the one check they pass."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from freebits_codecs.dtype import DTYPES
from freebits_codecs.formats.source import HOSTILE, Unreadable

MAX_TENSORS = 1 << 18
"""Tensors, and as many extents, that one layout may hold; what a file has beyond that stays unlisted."""

MAX_RANK = 64
"""Dimensions of a tensor; a shape with more is not believed."""

MAX_NAME_LENGTH = 1024
"""Characters of a tensor's name; a tensor with a longer one is an extent without a name."""

MAX_NAMES_LENGTH = 1 << 26
"""Characters of all names of a layout together."""

MAX_STEPS = 1 << 21
"""The smallest things readers do (a metadata value, a protobuf field, a pickle opcode), over all members.

A tokenizer in GGUF needs half a million, an optimizer state of 30,000 tensors one million; this many take
seconds.
"""


class Tensor(NamedTuple):
    """A named array that lies in the file as one run of bytes [start, stop), C order, little-endian.

    `dtype` is a key of `freebits_codecs.dtype.DTYPES`. Elements of another type (block-quantised, 4-bit,
    float8 flavours) are opaque: dtype "U8" and shape `(stop - start,)`. A complex number is two floats:
    shape `(..., 2)`. Tensors may share bytes (tied weights).
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


class Extent(NamedTuple):
    """Bytes [start, stop) of the file hold whole elements of one type."""

    dtype: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class FileLayout:
    """What a reader found. Extents are sorted, never empty, never overlap, and end inside the file."""

    format: str
    tensors: tuple[Tensor, ...]
    extents: tuple[Extent, ...]


@dataclass(slots=True)
class Budget:
    """What is left of the limits that all readers of one file share."""

    steps: int = MAX_STEPS
    names_length: int = MAX_NAMES_LENGTH

    def step(self, count: int = 1) -> None:
        """Pay for `count` steps."""
        self.steps -= count
        if self.steps < 0:
            raise Unreadable(f"the directory takes more than {MAX_STEPS} steps")

    def name(self, name: str) -> None:
        """Pay for a name."""
        self.names_length -= len(name)
        if self.names_length < 0:
            raise Unreadable(f"names of more than {MAX_NAMES_LENGTH} characters in all")


@dataclass(slots=True)
class Found:
    """What a reader has found so far. Offsets given to `tensor` and `extent` count from `origin`."""

    origin: int = 0
    prefix: str = ""
    tensors: list[Tensor] = field(default_factory=list)
    extents: list[Extent] = field(default_factory=list)
    budget: Budget = field(default_factory=Budget)

    def within(self, origin: int, prefix: str) -> Found:
        """The same lists, for a file that lies at `origin` inside this one; its names get `prefix`."""
        return Found(self.origin + origin, self.prefix + prefix, self.tensors, self.extents, self.budget)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Let a part be unreadable: the names found in it are forgotten, its extents still help."""
        known = len(self.tensors)
        try:
            yield
        except HOSTILE:
            del self.tensors[known:]

    def array(self, name: str, dtype: str, shape: Sequence[int], start: int, nbytes: int) -> None:
        """A tensor that is also an extent; one whose shape does not fit its bytes becomes opaque."""
        if len(shape) > MAX_RANK or nbytes != _nbytes(dtype, shape):
            dtype, shape = "U8", (nbytes,)
        self._name(name, dtype, shape, start, nbytes)
        self.extent(dtype, start, nbytes)

    def tensor(self, name: str, dtype: str, shape: Sequence[int], start: int) -> None:
        """A tensor whose bytes are, or are part of, some extent."""
        self._name(name, dtype, shape, start, _nbytes(dtype, shape))

    def _name(self, name: str, dtype: str, shape: Sequence[int], start: int, nbytes: int) -> None:
        name = self.prefix + name
        if not _believable(name, shape):
            return
        _check_room(self.tensors)
        self.budget.name(name)
        start += self.origin
        self.tensors.append(Tensor(name, dtype, tuple(shape), start, start + nbytes))

    def extent(self, dtype: str, start: int, nbytes: int) -> None:
        """A run of elements; a last one that is not whole is left out."""
        _check_room(self.extents)
        start += self.origin
        whole = nbytes - nbytes % DTYPES[dtype].itemsize
        self.extents.append(Extent(dtype, start, start + whole))

    def layout(self, format_name: str, nbytes: int) -> FileLayout:
        """Everything found, normalised for a file of `nbytes` bytes."""
        return FileLayout(
            format_name,
            tuple(_loadable(self.tensors, nbytes)),
            tuple(_disjoint(self.extents, nbytes)),
        )


def _nbytes(dtype: str, shape: Sequence[int]) -> int:
    return math.prod(shape) * DTYPES[dtype].itemsize


def _believable(name: str, shape: Sequence[int]) -> bool:
    return len(shape) <= MAX_RANK and 0 < len(name) <= MAX_NAME_LENGTH and min(shape, default=0) >= 0


def _check_room(found: Sequence[object]) -> None:
    if len(found) >= MAX_TENSORS:
        raise Unreadable(f"more than {MAX_TENSORS} tensors")


def _loadable(tensors: Iterable[Tensor], nbytes: int) -> Iterable[Tensor]:
    """Tensors that lie inside the file; of equal names the first."""
    names = set()
    for tensor in tensors:
        if 0 <= tensor.start <= tensor.stop <= nbytes and tensor.name not in names:
            names.add(tensor.name)
            yield tensor


def _disjoint(extents: Iterable[Extent], nbytes: int) -> Iterable[Extent]:
    """Extents in order, cut to the file; of those that overlap, the first to start, and the longer of two."""
    end = 0
    for extent in sorted(extents, key=lambda extent: (extent.start, -extent.stop)):
        whole = _cut(extent, nbytes)
        if extent.start >= end and whole.stop > whole.start:
            end = whole.stop
            yield whole


def _cut(extent: Extent, nbytes: int) -> Extent:
    if extent.stop <= nbytes:
        return extent
    room = max(nbytes - extent.start, 0)
    return Extent(extent.dtype, extent.start, extent.start + room - room % DTYPES[extent.dtype].itemsize)
