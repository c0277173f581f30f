"""ONNX: one protobuf message, walked field by field; large fields are passed without reading."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from freebits_codecs.formats.layout import MAX_RANK, Budget, Found
from freebits_codecs.formats.source import Source, Unreadable

NAME = "onnx"

MAX_DEPTH = 16
"""Graphs inside attributes of nodes inside graphs."""

MAX_IR_VERSION = 64

MAX_VARINT_NBYTES = 10

_VARINT, _BYTES = 0, 2
_FIXED_NBYTES = {1: 8, 5: 4}

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


class _Field(NamedTuple):
    """A field: its number and wire type, and either its value or the bytes [start, stop)."""

    number: int
    kind: int
    value: int
    start: int
    stop: int


def recognises(head: bytes) -> bool:
    """ONNX has no magic: a model begins with its IR version, then a name, an opset or the graph."""
    return len(head) > 3 and head[0] == 0x08 and 0 < head[1] <= MAX_IR_VERSION and head[2] >> 3 in _MODEL_FIELDS


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
    packed = source.read_at(field.start, min(field.stop - field.start, MAX_VARINT_NBYTES * (MAX_RANK + 1)))
    values, at = [], 0
    while at < len(packed):
        value, at = _varint(packed, at)
        values.append(value)
    return values


def _fields(source: Source, start: int, stop: int, budget: Budget) -> Iterator[_Field]:
    """The fields of a message that lies at [start, stop)."""
    while start < stop:
        budget.step()
        head = source.read_at(start, min(stop - start, 2 * MAX_VARINT_NBYTES))
        tag, at = _varint(head, 0)
        kind, value, nbytes = tag & 7, 0, _FIXED_NBYTES.get(tag & 7, 0)
        if kind in (_VARINT, _BYTES):
            value, at = _varint(head, at)
            nbytes = value if kind == _BYTES else 0
        elif not nbytes:
            raise Unreadable(f"a field of wire type {kind} at {start}")
        body, start = start + at, start + at + nbytes
        if start > stop:
            raise Unreadable(f"a field at {body} passes the end of its message at {stop}")
        yield _Field(tag >> 3, kind, value, body, start)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned integer of 7 bits a byte, and the index after it."""
    value = 0
    for shift in range(0, 7 * MAX_VARINT_NBYTES, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise Unreadable(f"an integer of more than {MAX_VARINT_NBYTES} bytes")
