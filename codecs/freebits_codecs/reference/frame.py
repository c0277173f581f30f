"""(4) Frames: planes by codec, elements by layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freebits_codecs.errors import CorruptContainer
from freebits_codecs.reference.adaptive import AdaptiveBudget, decode_adaptive_plane
from freebits_codecs.reference.cursor import Cursor, Notice
from freebits_codecs.reference.header_plane import decode_header_plane
from freebits_codecs.reference.rans import decode_plane

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint64]

MAX_DEPTH = 2
RAW, CONSTANT, RANS, ADAPTIVE, HEADER = range(5)


def decode_frame(cursor: Cursor, limit: int, depth: int, adaptive: AdaptiveBudget, notice: Notice) -> bytes:
    """(4.1) The next frame's elements, at most `limit` bytes."""
    if depth > MAX_DEPTH:
        raise CorruptContainer("nesting of escape values", found=depth, expected=MAX_DEPTH)
    layout, numel = _read_layout(cursor, limit, notice)
    notice("depth", depth)
    codecs = [cursor.u8() for _ in range(layout.plane_count)]
    planes: list[Bytes] = [_uncoded_plane(cursor, codec, numel, notice) for codec in codecs]
    for p, codec in enumerate(codecs):
        payload = cursor.take(cursor.varint()) if codec >= RANS else b""
        if codec == ADAPTIVE:
            adaptive.take(numel)
            planes[p] = decode_adaptive_plane(payload, numel)
        elif codec == HEADER:
            _require_place(layout, depth)
            planes[p] = decode_header_plane(payload, numel)
        elif codec == RANS:
            planes[p] = decode_plane(payload, numel, notice, lambda c, n: _escape_values(c, n, depth + 1, notice))
    return layout.join(planes)


def _read_layout(cursor: Cursor, limit: int, notice: Notice) -> tuple[_Layout, int]:
    """Layout and number of elements."""
    code, numel = cursor.u8(), cursor.varint()
    if code >= len(_LAYOUTS):
        raise CorruptContainer("layout code", found=code, expected=f"at most {len(_LAYOUTS) - 1}")
    nbytes = numel * _LAYOUTS[code].item_nbytes
    if not 1 <= nbytes <= limit:
        raise CorruptContainer("bytes of a frame", found=nbytes, expected=f"1..{limit}")
    notice("layout", code)
    return _LAYOUTS[code], numel


def _uncoded_plane(cursor: Cursor, codec: int, numel: int, notice: Notice) -> Bytes:
    """(4.2) A raw or constant plane; nothing yet for one whose bytes come later, behind their length."""
    if codec > HEADER:
        raise CorruptContainer("plane codec", found=codec, expected=f"at most {HEADER}")
    notice("codec", codec)
    if codec == RAW:
        return np.frombuffer(cursor.take(numel), np.uint8)
    return np.full(numel, cursor.u8(), np.uint8) if codec == CONSTANT else np.empty(0, np.uint8)


def _require_place(layout: _Layout, depth: int) -> None:
    """(13) Header planes are whole frames of a chunk."""
    if layout.plane_count > 1 or depth:
        raise CorruptContainer("header plane", found="one of elements or escape values", expected="none there")


def _escape_values(cursor: Cursor, count: int, depth: int, notice: Notice) -> bytes:
    """(5.4)"""
    values = decode_frame(cursor, count, depth, AdaptiveBudget(0), notice)
    if len(values) != count:
        raise CorruptContainer("bytes of escape values", found=len(values), expected=count)
    return values


@dataclass(frozen=True)
class _Layout:
    """(4.3) `word` rebuilds elements, as unsigned integers of `item_nbytes`, from planes of that type."""

    item_nbytes: int
    plane_count: int
    word: Callable[[list[Words]], Words]

    def join(self, planes: list[Bytes]) -> bytes:
        words = self.word([plane.astype(np.uint64) for plane in planes])
        return words.astype(f"<u{self.item_nbytes}").tobytes()


def _bits(x: Words, first: int, count: int, to: int) -> Words:
    """Bits [first, first + count) of x, moved to bit `to`."""
    return (x >> np.uint64(first) & np.uint64((1 << count) - 1)) << np.uint64(to)


def _integer(planes: list[Words]) -> Words:
    word = np.zeros_like(planes[0])
    for plane in planes:
        word = word << np.uint64(8) | plane
    return word


def _bf16(p: list[Words]) -> Words:
    return _bits(p[1], 0, 1, 15) | _bits(p[0], 0, 8, 7) | _bits(p[1], 1, 7, 0)


def _f16(p: list[Words]) -> Words:
    return _bits(p[2], 0, 1, 15) | _bits(p[0], 0, 6, 9) | _bits(p[1], 0, 2, 7) | _bits(p[2], 1, 7, 0)


def _f32(p: list[Words]) -> Words:
    return _bits(p[1], 0, 1, 31) | _bits(p[0], 0, 8, 23) | _bits(p[1], 1, 7, 16) | _integer(p[2:])


def _f64(p: list[Words]) -> Words:
    high = _bits(p[1], 0, 1, 63) | _bits(p[1], 5, 3, 60) | _bits(p[0], 0, 8, 52) | _bits(p[1], 1, 4, 48)
    return high | _integer(p[2:])


def _f8_e4m3(p: list[Words]) -> Words:
    return _bits(p[1], 0, 1, 7) | _bits(p[0], 0, 5, 2) | _bits(p[1], 1, 2, 0)


def _f8_e5m2(p: list[Words]) -> Words:
    return _bits(p[1], 0, 1, 7) | _bits(p[0], 0, 6, 1) | _bits(p[1], 1, 1, 0)


_LAYOUTS = (
    _Layout(1, 1, _integer),
    _Layout(2, 2, _bf16),
    _Layout(2, 3, _f16),
    _Layout(4, 4, _f32),
    _Layout(8, 8, _f64),
    _Layout(1, 2, _f8_e4m3),
    _Layout(1, 2, _f8_e5m2),
    _Layout(2, 2, _integer),
    _Layout(4, 4, _integer),
    _Layout(8, 8, _integer),
)
