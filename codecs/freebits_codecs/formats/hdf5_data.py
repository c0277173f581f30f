"""Where the elements of an HDF5 dataset lie: its layout message and the index of its chunks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from freebits_codecs.formats.hdf5_header import Hdf5File
from freebits_codecs.formats.source import Cursor, Unreadable

MAX_TREE_DEPTH = 16

_COMPACT, _CONTIGUOUS, _CHUNKED = 0, 1, 2
_SINGLE, _IMPLICIT, _FIXED_ARRAY = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Runs:
    """File bytes of a dataset: (start, nbytes) in file order. `is_array`: one run, all of it in C order."""

    runs: list[tuple[int, int]]
    is_array: bool


def data_runs(file: Hdf5File, layout: Cursor, shape: tuple[int, ...], itemsize: int, filtered: bool) -> Runs:
    """The runs of a dataset; none where chunks went through a filter or the layout is not known here."""
    nothing = Runs([], False)
    version, kind = layout.uint(1), layout.uint(1)
    if version not in (3, 4):
        return nothing
    if kind == _COMPACT:
        nbytes = layout.uint(2)
        return Runs([(layout.at, nbytes)], True)
    if kind == _CONTIGUOUS:
        address, nbytes = layout.uint(file.offset_nbytes), layout.uint(file.length_nbytes)
        return Runs([(file.base + address, nbytes)], True) if file.is_defined(address) else nothing
    if kind != _CHUNKED or filtered:
        return nothing
    chunks = _chunks_v3(file, layout) if version == 3 else _chunks_v4(file, layout, itemsize, shape)
    nbytes = math.prod(chunks.shape) * itemsize
    return Runs(_merge(sorted(chunks.starts), nbytes), chunks.shape == shape and len(chunks.starts) == 1)


@dataclass(frozen=True, slots=True)
class _Chunks:
    """Shape of a chunk, all have the same, and where each starts in the file."""

    shape: tuple[int, ...]
    starts: list[int]


def _merge(starts: list[int], nbytes: int) -> list[tuple[int, int]]:
    """Chunks that follow one another, as one run."""
    runs: list[tuple[int, int]] = []
    for start in starts:
        if runs and sum(runs[-1]) == start:
            runs[-1] = (runs[-1][0], runs[-1][1] + nbytes)
        else:
            runs.append((start, nbytes))
    return runs


def _chunks_v3(file: Hdf5File, layout: Cursor) -> _Chunks:
    """Chunks under a version 1 B-tree."""
    rank = layout.uint(1) - 1
    address = layout.uint(file.offset_nbytes)
    shape = tuple(layout.uint(4) for _ in range(rank))
    return _Chunks(shape, list(_tree_chunks(file, address, rank, MAX_TREE_DEPTH)) if file.is_defined(address) else [])


def _tree_chunks(file: Hdf5File, address: int, rank: int, depth: int) -> Iterator[int]:
    for level, child in tree_children(file, address, 1, 8 + 8 * (rank + 1)):
        if level == 0:
            yield file.base + child
        elif depth:
            yield from _tree_chunks(file, child, rank, depth - 1)


def tree_children(file: Hdf5File, address: int, kind: int, key_nbytes: int) -> Iterator[tuple[int, int]]:
    """(level, child address) for a node of a version 1 B-tree; kind 0 indexes groups, 1 chunks."""
    cursor = file.at(address)
    if cursor.take(5) != b"TREE" + bytes([kind]):
        raise Unreadable(f"no HDF5 B-tree node of kind {kind} at {address}")
    level, count = cursor.uint(1), cursor.uint(2)
    cursor.skip(2 * file.offset_nbytes)
    file.budget.step(count)
    for _ in range(count):
        cursor.skip(key_nbytes)
        yield level, cursor.uint(file.offset_nbytes)


def _chunks_v4(file: Hdf5File, layout: Cursor, itemsize: int, array_shape: tuple[int, ...]) -> _Chunks:
    """Chunks under the newer indexes; those of datasets that can grow are not read."""
    layout.skip(1)
    rank, dim_nbytes = layout.uint(1) - 1, layout.uint(1)
    shape = tuple(layout.uint(dim_nbytes) for _ in range(rank))
    layout.skip(dim_nbytes)
    index = layout.uint(1)
    layout.skip(1 if index == _FIXED_ARRAY else 0)
    address = layout.uint(file.offset_nbytes)
    if index not in (_SINGLE, _IMPLICIT, _FIXED_ARRAY) or not file.is_defined(address):
        return _Chunks(shape, [])
    if index == _FIXED_ARRAY:
        return _Chunks(shape, list(_fixed_array(file, address)))
    count = math.prod(-(-dim // chunk) for dim, chunk in zip(array_shape, shape, strict=True))
    file.budget.step(count)
    nbytes = math.prod(shape) * itemsize
    return _Chunks(shape, [file.base + address + number * nbytes for number in range(count)])


def _fixed_array(file: Hdf5File, address: int) -> Iterator[int]:
    """Chunk addresses from a fixed array of one page."""
    header = file.at(address)
    if header.take(6) != b"FAHD\0\0":
        raise Unreadable(f"no HDF5 fixed array at {address}")
    header.skip(1)
    page_bits, count, block = header.uint(1), header.uint(file.length_nbytes), header.uint(file.offset_nbytes)
    if count > 1 << page_bits or not file.is_defined(block):
        return
    file.budget.step(count)
    cursor = file.at(block)
    cursor.skip(6 + file.offset_nbytes)
    for _ in range(count):
        chunk = cursor.uint(file.offset_nbytes)
        if file.is_defined(chunk):
            yield file.base + chunk
