"""Header planes: the header of a safetensors file without the offsets that follow from it (FORMAT.md, section 13).

Where tensors lie one behind the other, shape and dtype say where each ends. Written out, these numbers are what zstd
can do least about: half of what a header takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from freebits_codecs.container.frames import HEADER, RAW, pack_varint, parse_payload
from freebits_codecs.dtype import DTYPES

OFFSETS, LITERAL = b"\1", b"\2"
"""A tensor's two offsets; a byte that would mean one of these two."""

LIMIT = 1 << 63
"""Of all numbers; no file is so long."""

_NUMBER = rb"[0-9]{1,19}"
_SHAPE = rb"(?:%b(?:,%b)*)?" % (_NUMBER, _NUMBER)
_TENSOR = re.compile(rb'"dtype":"(\w+)","shape":\[(%b)\],"data_offsets":\[(%b,%b)\]' % (_SHAPE, _NUMBER, _NUMBER))
_MARKS = re.compile(b"[\1\2]")


def without_offsets(payload: memoryview) -> memoryview:
    """The payload, its first plane as a header plane if it holds a safetensors header that is shorter so."""
    frame = parse_payload(payload).frames[0]
    plane = frame.planes[0]
    if frame.layout != "bytes" or plane.codec != RAW:
        return payload
    text = bytes(payload[plane.start : plane.stop])
    marked = b"".join(_pieces(text))
    coded = pack_varint(len(marked)) + marked
    if len(coded) >= len(text):
        return payload
    before = payload[: plane.start - 1]  # but for the plane's codec
    return memoryview(b"".join((before, bytes([HEADER]), coded, payload[plane.stop :])))


def _pieces(text: bytes) -> Iterator[bytes]:
    """A header plane's payload."""
    marked, at = [], 0
    for start, stop in _counted_out(text):
        marked += [_MARKS.sub(_as_literal, text[at:start]), OFFSETS]
        at = stop
    yield pack_varint(sum(map(len, marked)))
    yield from marked
    yield text[at:]


def _as_literal(mark: re.Match[bytes]) -> bytes:
    return LITERAL + mark[0]


def _counted_out(text: bytes) -> Iterator[tuple[int, int]]:
    """[start, stop) of the offsets of tensors that begin where the one before ended and are as long as they must be."""
    end = 0
    for tensor in _TENSOR.finditer(text):
        stop = end + _nbytes(tensor[1].decode(), tensor[2])
        if stop < LIMIT and tensor[3] == b"%d,%d" % (end, stop):
            end = stop
            yield tensor.span(3)


def _nbytes(dtype: str, shape: bytes) -> int:
    """Length of a tensor; LIMIT where decoders would not count it out."""
    nbytes = DTYPES[dtype].itemsize if dtype in DTYPES else LIMIT
    for size in shape.split(b",") if shape else ():
        if nbytes < LIMIT:
            nbytes *= int(size)
    return min(nbytes, LIMIT)
