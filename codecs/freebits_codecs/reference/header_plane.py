"""(13) Header planes: the header of a safetensors file, of which the offsets that follow from it are not stored."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from freebits_codecs.errors import CorruptContainer
from freebits_codecs.reference.cursor import Cursor

LIMIT = 1 << 63
ITEM_NBYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip
_OFFSETS, _LITERAL = 1, 2
_NUMBERS = re.compile("(?:[0-9]{1,19}(?:,[0-9]{1,19})*)?")


def decode_header_plane(payload: bytes, numel: int) -> NDArray[np.uint8]:
    """uint8[numel]; raises CorruptContainer."""
    cursor = Cursor(payload)
    marked = Cursor(cursor.take(cursor.varint()))
    plane = bytearray()
    end = 0
    while marked.left:
        byte = marked.u8()
        if byte == _OFFSETS:
            start, end = end, end + _tensor_nbytes(plane.decode("latin-1"))
            _require("end of a tensor", end, LIMIT - 1)
            plane += b"%d,%d" % (start, end)
        else:
            plane.append(marked.u8() if byte == _LITERAL else byte)
        _require("bytes of a header plane", len(plane), numel)
    plane += cursor.take(cursor.left)
    if len(plane) != numel:
        raise CorruptContainer("bytes of a header plane", found=len(plane), expected=numel)
    return np.frombuffer(bytes(plane), np.uint8)


def _tensor_nbytes(text: str) -> int:
    """Length of the tensor whose entry the text ends with."""
    before, start, numbers = text.rpartition('","shape":[')
    dtype = before.rpartition('"dtype":"')[2]
    shape = numbers.removesuffix('],"data_offsets":[')
    if not start or shape == numbers or not _NUMBERS.fullmatch(shape) or dtype not in ITEM_NBYTES:
        raise CorruptContainer("text before offsets", found=text[-80:], expected="dtype and shape of a tensor")
    nbytes = ITEM_NBYTES[dtype]
    for size in shape.split(",") if shape else ():
        nbytes *= int(size)
        _require("length of a tensor", nbytes, LIMIT - 1)
    return nbytes


def _require(what: str, found: int, limit: int) -> None:
    if found > limit:
        raise CorruptContainer(what, found=found, expected=f"at most {limit}")
