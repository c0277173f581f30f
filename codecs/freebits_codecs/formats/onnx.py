"""ONNX: one protobuf message, walked field by field; large fields are passed without reading."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from freebits_codecs.formats.layout import MAX_RANK, Budget, Found
from freebits_codecs.formats.source import Cursor, Source, Unreadable

NAME = "onnx"

MAX_DEPTH = 16
"""Graphs inside attributes of nodes inside graphs."""

MAX_IR_VERSION = 64

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# field numbers of onnx.proto3
_MODEL_FIELDS = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}
_CHILDREN = {  # message -> field -> message below it in which tensors may be
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_DIMS, _DATA_TYPE, _FLOATS, _NAME, _RAW, _DOUBLES = 1, 2, 4, 8, 9, 10
_DTYPES = {
    1: "F32", 2: "U8", 3: "I8", 4: "U16", 5: "I16", 6: "I32", 7: "I64", 9: "BOOL", 10: "F16", 11: "F64",
    12: "U32", 13: "U64", 16: "BF16", 17: "F8_E4M3", 19: "F8_E5M2",
}  # fmt: skip
_COMPLEX = {14: "F32", 15: "F64"}


@dataclass(frozen=True, slots=True)
class _Field:
    """A field: its number and wire type, and either its value or the bytes [start, stop)."""

    number: int
    kind: int
    value: int
    start: int
    stop: int


def recognises(head: bytes) -> bool:
    """ONNX has no magic: a model begins with its IR version, then a name, an opset or the graph."""
    return (
        len(head) > 3 and head[0] == 0x08 and 0 < head[1] <= MAX_IR_VERSION and head[2] >> 3 in _MODEL_FIELDS
    )


def read(source: Source, found: Found) -> None:
    """Every tensor with raw, float or double data; one without a name is an extent only."""
    walk = _Walk(source, found)
    for field in _fields(source, 0, source.nbytes, found.budget):
        if field.number not in _MODEL_FIELDS:
            raise Unreadable(f"a model has no field {field.number}")
        walk.descend("model", field, MAX_DEPTH)


@dataclass(frozen=True, slots=True)
class _Walk:
    """A walk down to all tensors of a model."""

    source: Source
    found: Found

    def descend(self, message: str, field: _Field, depth: int) -> None:
        """Into a field of a message, if tensors may be in it."""
        child = _CHILDREN[message].get(field.number)
        if child is None or field.kind != _BYTES or not depth:
            return
        if child == "tensor":
            _read_tensor(self.source, field.start, field.stop, self.found)
            return
        for below in _fields(self.source, field.start, field.stop, self.found.budget):
            self.descend(child, below, depth - (child == "graph"))


def _read_tensor(source: Source, start: int, stop: int, found: Found) -> None:
    """TensorProto: its data may come before its type and dimensions."""
    dims: list[int] = []
    data_type, name, data = 0, "", None
    for field in _fields(source, start, stop, found.budget):
        if field.number == _DIMS:
            dims += _integers(source, field)
        elif field.number == _DATA_TYPE:
            data_type = field.value
        elif field.number == _NAME:
            name = source.read_at(field.start, min(field.stop - field.start, 4096)).decode("utf-8", "replace")
        elif field.number in (_RAW, _FLOATS, _DOUBLES) and field.kind == _BYTES:
            data = field
        if len(dims) > MAX_RANK:
            raise Unreadable(f"a tensor of more than {MAX_RANK} dimensions")
    if data is not None and data_type in _DTYPES:
        found.array(name, _DTYPES[data_type], dims, data.start, data.stop - data.start)
    elif data is not None and data_type in _COMPLEX:
        found.array(name, _COMPLEX[data_type], [*dims, 2], data.start, data.stop - data.start)
    elif data is not None:
        found.array(name, "U8", [data.stop - data.start], data.start, data.stop - data.start)


def _integers(source: Source, field: _Field) -> list[int]:
    """A repeated integer field: one value, or several packed."""
    if field.kind == _VARINT:
        return [field.value]
    cursor = Cursor(source, field.start, field.stop)
    return [_varint(cursor) for _ in range(MAX_RANK + 1) if cursor.at < cursor.stop]


def _fields(source: Source, start: int, stop: int, budget: Budget) -> Iterator[_Field]:
    """The fields of a message that lies at [start, stop)."""
    cursor = Cursor(source, start, stop)
    while cursor.at < stop:
        budget.step()
        tag = _varint(cursor)
        number, kind, value = tag >> 3, tag & 7, 0
        field_start = cursor.at
        if kind == _VARINT:
            value = _varint(cursor)
        elif kind == _BYTES:
            nbytes = _varint(cursor)
            field_start = cursor.at
            cursor.skip(nbytes)
        elif kind in (_FIXED64, _FIXED32):
            cursor.skip(8 if kind == _FIXED64 else 4)
        else:
            raise Unreadable(f"a field of wire type {kind} at {field_start}")
        yield _Field(number, kind, value, field_start, cursor.at)


def _varint(cursor: Cursor) -> int:
    """An unsigned integer, 7 bits a byte, at most 10 bytes."""
    value = 0
    for shift in range(0, 70, 7):
        byte = cursor.uint(1)
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
    raise Unreadable(f"an integer of more than 10 bytes at {cursor.at}")
