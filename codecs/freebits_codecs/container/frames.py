"""The structure of a chunk's payload, without decoding it: runs, frames, planes (FORMAT.md, sections 3-5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from freebits_codecs.errors import CorruptContainer
from freebits_codecs.planner import LAYOUTS

RAW, CONSTANT, RANS, ADAPTIVE, HEADER = range(5)
PLANE_CODECS = ("raw", "constant", "rans", "adaptive", "header")

PLANE_NAMES: dict[str, tuple[str, ...]] = {
    "bytes": ("bytes",),
    "BF16": ("exponent", "mantissa+sign"),
    "F16": ("exponent+mantissa.9", "mantissa.8-7", "mantissa.6-0+sign"),
    "F32": ("exponent", "mantissa.22-16+sign", "mantissa.15-8", "mantissa.7-0"),
    "F64": (
        "exponent.7-0",
        "exponent.10-8+mantissa.51-48+sign",
        *(f"mantissa.{8 * b + 7}-{8 * b}" for b in range(5, -1, -1)),
    ),
    "F8_E4M3": ("exponent+mantissa.2", "mantissa.1-0+sign"),
    "F8_E5M2": ("exponent+mantissa.1", "mantissa.0+sign"),
    "int16": ("byte.1", "byte.0"),
    "int32": ("byte.3", "byte.2", "byte.1", "byte.0"),
    "int64": tuple(f"byte.{b}" for b in range(7, -1, -1)),
}
"""Planes of each layout in stored order; `.22-16` are bit numbers of the field."""

ITEM_NBYTES = {
    "bytes": 1, "BF16": 2, "F16": 2, "F32": 4, "F64": 8, "F8_E4M3": 1, "F8_E5M2": 1, "int16": 2, "int32": 4, "int64": 8
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plane:
    """One plane of a frame; its payload is [start, stop) of the chunk's payload."""

    name: str
    codec: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Frame:
    layout: str
    numel: int
    planes: tuple[Plane, ...]

    @property
    def nbytes(self) -> int:
        return self.numel * ITEM_NBYTES[self.layout]


@dataclass(frozen=True, slots=True)
class Run:
    """The next `nbytes` bytes of the chunk come from frame number `frame`."""

    frame: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Payload:
    runs: tuple[Run, ...]
    frames: tuple[Frame, ...]


def parse_payload(payload: bytes | memoryview) -> Payload:
    """Raises CorruptContainer when the parts do not fit together."""
    try:
        return _parse(memoryview(payload))
    except (IndexError, KeyError):
        raise CorruptContainer("chunk payload", found="an end inside a frame", expected="whole frames") from None


def _parse(data: memoryview) -> Payload:
    count, at = _varint(data, 0)
    runs = []
    for _ in range(min(count, len(data))):
        nbytes, after = _varint(data, at + 1)
        runs.append(Run(data[at], nbytes))
        at = after
    frames = []
    while at < len(data):
        frame, at = _frame(data, at)
        frames.append(frame)
    if at != len(data):
        raise IndexError
    if not runs:
        runs = [Run(number, frame.nbytes) for number, frame in enumerate(frames)]
    return Payload(tuple(runs), tuple(frames))


def _frame(data: memoryview, at: int) -> tuple[Frame, int]:
    layout = LAYOUTS[data[at]]
    numel, at = _varint(data, at + 1)
    names = PLANE_NAMES[layout]
    codecs = bytes(data[at : at + len(names)])
    at += len(names)
    if len(codecs) < len(names) or max(codecs) > HEADER:
        raise IndexError
    spans: list[tuple[int, int]] = [(0, 0)] * len(names)
    for p in _plane_order(codecs):
        nbytes = numel if codecs[p] == RAW else 1
        if codecs[p] >= RANS:
            nbytes, at = _varint(data, at)
        spans[p] = (at, at + nbytes)
        at += nbytes
    planes = tuple(Plane(n, c, *span) for n, c, span in zip(names, codecs, spans, strict=True))
    return Frame(layout, numel, planes), at


def _plane_order(codecs: bytes) -> Iterator[int]:
    """Raw and constant planes first, then the coded ones."""
    yield from (p for p, codec in enumerate(codecs) if codec < RANS)
    yield from (p for p, codec in enumerate(codecs) if codec >= RANS)


def pack_varint(value: int) -> bytes:
    """LEB128."""
    groups = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 35, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise IndexError
