"""npy: a magic, a version, a header that is a Python literal, one array."""

from __future__ import annotations

import re

from freebits_codecs.dtype import DTYPES
from freebits_codecs.formats.layout import Found
from freebits_codecs.formats.source import Source, Unreadable

NAME = "npy"

MAX_HEADER_NBYTES = 10_000
"""What numpy itself accepts."""

TENSOR_NAME = "arr_0"
"""The array has no name of its own; this is what numpy.savez would call it."""

_MAGIC = b"\x93NUMPY"
_LENGTH_NBYTES = {1: 2, 2: 4, 3: 4}
_DESCR = re.compile(r"'descr': '([^']{1,40})'")
_ORDER = re.compile(r"'fortran_order': (True|False)")
_SHAPE = re.compile(r"'shape': \(([0-9L, ]*)\)")
_COMPLEX = {"<c8": "F32", "<c16": "F64"}
_NAMES = {dtype.view.str: name for name, dtype in DTYPES.items() if name not in ("BF16", "F8_E4M3", "F8_E5M2")}


def recognises(head: bytes) -> bool:
    return head[:6] == _MAGIC


def read(source: Source, found: Found) -> None:
    """The array under the name `arr_0`."""
    read_as(TENSOR_NAME, source, found)


def read_as(name: str, source: Source, found: Found) -> None:
    """The array; big-endian, structured and object arrays are left to whoever looks at the bytes."""
    length_nbytes = _LENGTH_NBYTES.get(source.read_at(0, 8)[6], 0)
    header_nbytes = int.from_bytes(source.read_at(8, length_nbytes), "little")
    if not 0 < header_nbytes <= MAX_HEADER_NBYTES:
        raise Unreadable(f"an npy header of {header_nbytes} bytes; at most {MAX_HEADER_NBYTES} are read")
    data_start = 8 + length_nbytes + header_nbytes
    header = source.read_at(8 + length_nbytes, header_nbytes).decode("latin-1")
    descr, shape, fortran_order = _parse(header)
    if descr in _COMPLEX:
        dtype, shape = _COMPLEX[descr], (*shape, 2)
    elif descr in _NAMES:
        dtype = _NAMES[descr]
    else:
        return
    nbytes = _product(shape) * DTYPES[dtype].itemsize
    if fortran_order and len(shape) > 1:
        found.extent(dtype, data_start, nbytes)
    else:
        found.array(name, dtype, shape, data_start, nbytes)


def _parse(header: str) -> tuple[str, tuple[int, ...], bool]:
    """The three keys of the header: descr, shape, fortran_order; an array of records has the descr ""."""
    descr, order, shape = _DESCR.search(header), _ORDER.search(header), _SHAPE.search(header)
    if order is None or shape is None:
        raise Unreadable("an npy header without shape or fortran_order")
    dims = tuple(int(dim.rstrip("L")) for dim in shape[1].replace(" ", "").split(",") if dim)
    return descr[1] if descr else "", dims, order[1] == "True"


def _product(shape: tuple[int, ...]) -> int:
    numel = 1
    for dim in shape:
        numel *= dim
        if numel >= 1 << 60:
            raise Unreadable("an npy shape beyond any file")
    return numel
