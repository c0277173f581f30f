"""The bytes of a generated xorb: those of the file, with a header in front of each chunk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..blobs.store import Buffer
from ..downloads.ranges import ByteRange
from ..downloads.stream import Piece
from .chunks import HEADER_NBYTES
from .layout import FRAME_NBYTES, GeneratedXorb
from .packing import Packer


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


def packed_frames(xorb: GeneratedXorb, first: int, stop: int, data: Iterable[Piece], packer: Packer) -> Iterator[bytes]:
    """The chunks ``[first, stop)`` of the xorb with their headers, as `packer` packs them; `data` is their bytes.

    A piece becomes one with those chunks that end in it, so that no more than a chunk is kept.
    """
    chunks = (xorb.chunks_nbytes(chunk, chunk + 1) for chunk in range(first, stop))
    nbytes, rest = next(chunks), b""
    packer.begin()
    for piece in data:
        parts: list[Buffer] = []
        view, at = memoryview(rest + piece if rest else piece), 0
        while nbytes and len(view) - at >= nbytes:
            parts += packer.pack(view[at : at + nbytes])
            at, nbytes = at + nbytes, next(chunks, 0)
        rest = bytes(view[at:])
        if parts:
            made = b"".join(parts)
            packer.end()
            yield made
            packer.begin()
