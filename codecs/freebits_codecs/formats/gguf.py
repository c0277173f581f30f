"""GGUF versions 2 and 3, little-endian: metadata, a directory of tensors, aligned data."""

from __future__ import annotations

import math

from freebits_codecs.dtype import DTYPES
from freebits_codecs.formats.layout import MAX_TENSORS, Budget, Found
from freebits_codecs.formats.source import Cursor, Source, Unreadable

NAME = "gguf"

MAX_NAME_NBYTES = 1 << 16
"""What the format allows a key; names may have 64."""

MAX_ARRAY_DEPTH = 8
"""Arrays of arrays."""

MAX_RANK = 8

_DEFAULT_ALIGNMENT = 32
_STRING, _ARRAY = 8, 9
_VALUE_NBYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

_PLAIN = {0: "F32", 1: "F16", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 30: "BF16"}
_BLOCKS = {  # ggml type: (elements, bytes) of one block
    2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40), 10: (256, 84), 11: (256,
    110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74), 18:
    (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 29: (256, 56),
    34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18),
}  # fmt: skip


def recognises(head: bytes) -> bool:
    return head[:4] == b"GGUF" and head[4:8] in (b"\2\0\0\0", b"\3\0\0\0")


def read(source: Source, found: Found) -> None:
    """Tensors in directory order; quantised blocks are opaque bytes of the right length."""
    cursor = Cursor(source, 8, source.nbytes)
    tensor_count, metadata_count = cursor.uint(8), cursor.uint(8)
    if tensor_count > MAX_TENSORS:
        raise Unreadable(f"{tensor_count} GGUF tensors; at most {MAX_TENSORS} are read")
    found.budget.step(tensor_count)
    alignment = _Metadata(cursor, found.budget).alignment(metadata_count)
    directory = [_read_entry(cursor) for _ in range(tensor_count)]
    data_start = cursor.at + -cursor.at % alignment
    for name, shape, ggml_type, offset in directory:
        _add(found, name, shape, ggml_type, data_start + offset)


def _read_entry(cursor: Cursor) -> tuple[str, tuple[int, ...], int, int]:
    """Name, shape (slowest dimension first, unlike in the file), ggml type, offset in the data."""
    name = _string(cursor).decode("utf-8", "replace")
    rank = cursor.uint(4)
    if rank > MAX_RANK:
        raise Unreadable(f"a GGUF tensor of {rank} dimensions")
    shape = tuple(cursor.uint(8) for _ in range(rank))[::-1]
    return name, shape, cursor.uint(4), cursor.uint(8)


def _add(found: Found, name: str, shape: tuple[int, ...], ggml_type: int, start: int) -> None:
    numel = math.prod(shape)
    if ggml_type in _PLAIN:
        dtype = _PLAIN[ggml_type]
        found.array(name, dtype, shape, start, numel * DTYPES[dtype].itemsize)
    elif ggml_type in _BLOCKS:
        block_numel, block_nbytes = _BLOCKS[ggml_type]
        nbytes = numel // block_numel * block_nbytes
        found.array(name, "U8", (nbytes,), start, nbytes)


def _string(cursor: Cursor) -> bytes:
    nbytes = cursor.uint(8)
    if nbytes > MAX_NAME_NBYTES:
        raise Unreadable(f"a GGUF name of {nbytes} bytes; at most {MAX_NAME_NBYTES} are read")
    return cursor.take(nbytes)


class _Metadata:
    """Walks the key-value pairs for the one that matters here, the alignment."""

    def __init__(self, cursor: Cursor, budget: Budget) -> None:
        self._cursor = cursor
        self._budget = budget

    def alignment(self, count: int) -> int:
        alignment = _DEFAULT_ALIGNMENT
        self._budget.step(count)
        for _ in range(count):
            key, value_type = _string(self._cursor), self._cursor.uint(4)
            if key == b"general.alignment" and value_type == 4:
                alignment = self._cursor.uint(4)
            else:
                self._skip(value_type, 1, MAX_ARRAY_DEPTH)
        if not 1 <= alignment <= 1 << 20:
            raise Unreadable(f"a GGUF alignment of {alignment} bytes")
        return alignment

    def _skip(self, value_type: int, count: int, depth: int) -> None:
        """Pass `count` values of one type."""
        if value_type in _VALUE_NBYTES:
            self._cursor.skip(count * _VALUE_NBYTES[value_type])
            return
        self._budget.step(count)
        if value_type == _STRING:
            for _ in range(count):
                self._cursor.skip(self._cursor.uint(8))
        elif value_type == _ARRAY and depth > 0:
            for _ in range(count):
                self._skip(self._cursor.uint(4), self._cursor.uint(8), depth - 1)
        else:
            raise Unreadable(f"GGUF metadata of type {value_type}, or nested too deep")
