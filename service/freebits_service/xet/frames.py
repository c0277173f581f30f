"""The bytes of a generated xorb: those of the file, with a header in front of each chunk. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..downloads.ranges import ByteRange
from ..downloads.stream import Piece
from .chunks import HEADER_NBYTES
from .layout import FRAME_NBYTES, GeneratedXorb


def frames(xorb: GeneratedXorb, span: ByteRange, data: Iterable[Piece]) -> Iterator[bytes]:
    """The bytes of `span` of the xorb; `data` is the bytes of the file that lie in it (`data_range`), in pieces.

    Each piece becomes one with the headers in it: one copy, and as many pieces as there were.
    """
    offset = span.start
    for piece in data:
        parts, at = [], 0
        while at < len(piece):
            chunk, inside = divmod(offset, FRAME_NBYTES)
            if inside < HEADER_NBYTES:
                parts.append(memoryview(xorb.header(chunk))[inside:])
                offset += HEADER_NBYTES - inside
                inside = HEADER_NBYTES
            taken = min(FRAME_NBYTES - inside, len(piece) - at)
            parts.append(memoryview(piece)[at : at + taken])
            offset, at = offset + taken, at + taken
        yield b"".join(parts)
    if offset < span.stop:  # the range ends inside of a header, or behind one
        chunk, inside = divmod(offset, FRAME_NBYTES)
        yield xorb.header(chunk)[inside : inside + span.stop - offset]
