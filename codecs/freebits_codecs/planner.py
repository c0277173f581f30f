"""Which layout each byte of a file is coded with: extents in, native arrays out. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freebits_codecs.dtype import DTYPES
from freebits_codecs.formats import Extent, sniff

LAYOUTS = ("bytes", "BF16", "F16", "F32", "F64", "F8_E4M3", "F8_E5M2", "int16", "int32", "int64")
"""Layout codes of the format, in order (FORMAT.md, section 4)."""

_INTEGER_LAYOUT = {1: "bytes", 2: "int16", 4: "int32", 8: "int64"}


def layout_code(dtype: str) -> int:
    """The layout that elements of a safetensors dtype are coded with.

    >>> LAYOUTS[layout_code("BF16")], LAYOUTS[layout_code("U32")], LAYOUTS[layout_code("BOOL")]
    ('BF16', 'int32', 'bytes')
    """
    return LAYOUTS.index(dtype if dtype in LAYOUTS else _INTEGER_LAYOUT[DTYPES[dtype].itemsize])


@dataclass(frozen=True, slots=True)
class ExtentArrays:
    """Sorted, disjoint extents of a file as the native core takes them; what lies between is plain bytes."""

    starts: NDArray[np.uint64]
    stops: NDArray[np.uint64]
    layouts: NDArray[np.uint8]

    @staticmethod
    def of(extents: Iterable[Extent]) -> ExtentArrays:
        rows = [(e.start, e.stop, layout_code(e.dtype)) for e in extents]
        columns = np.array(rows, np.uint64).reshape(-1, 3).T
        return ExtentArrays(
            np.ascontiguousarray(columns[0]), np.ascontiguousarray(columns[1]), columns[2].astype(np.uint8)
        )


NO_EXTENTS = ExtentArrays.of(())


def sniffed_extents(data: memoryview, offset: int, chunk_nbytes: int) -> ExtentArrays:
    """Extents guessed from the bytes of each chunk of `data`, which lies at `offset` of an unknown file."""
    extents = []
    for start in range(0, len(data), chunk_nbytes):
        window = data[start : start + chunk_nbytes]
        guess = sniff(window)
        if guess is not None:
            first = start + guess.phase
            whole = (len(window) - guess.phase) // DTYPES[guess.dtype].itemsize * DTYPES[guess.dtype].itemsize
            extents.append(Extent(guess.dtype, offset + first, offset + first + whole))
    return ExtentArrays.of(extents)
