"""Chunks as they are sent.

A xorb is chunks one after another, each behind a header of 8 bytes: version (0), length as packed (3 bytes, little
endian), scheme, length of the chunk (3 bytes). Schemes: 0 as it is, 1 an LZ4 frame, 2 the chunk's bytes sorted by their
position modulo 4, then an LZ4 frame. Nothing of it is believed before it was checked.
"""

from __future__ import annotations

from dataclasses import dataclass

import lz4.frame

from freebits_codecs import ungroup4

from ..blobs.store import Buffer
from ..errors import InvalidXet
from ..settings import MIB

MAX_NBYTES = 64 * MIB + 2 * MIB  # of the chunks of a xorb 64 MiB, and room for headers of incompressible ones
MAX_CHUNKS = 8 * 1024  # of a xorb
MAX_CHUNK_NBYTES = 128 * 1024
MAX_PACKED_NBYTES = 2 * MAX_CHUNK_NBYTES
HEADER_NBYTES = 8
AS_IT_IS, LZ4, GROUPED_LZ4 = 0, 1, 2


@dataclass(frozen=True, slots=True)
class ChunkHeader:
    """What a chunk says of itself."""

    packed_nbytes: int
    scheme: int
    nbytes: int

    @classmethod
    def parse(cls, raw: Buffer) -> ChunkHeader:
        """The first 8 bytes of a chunk; raises InvalidXet."""
        header = cls(int.from_bytes(raw[1:4], "little"), raw[4], int.from_bytes(raw[5:8], "little"))
        if raw[0] != 0 or header.scheme > GROUPED_LZ4:
            raise InvalidXet(f"a chunk of version {raw[0]} and scheme {header.scheme}; known are 0, and 0 to 2")
        if not 0 < header.nbytes <= MAX_CHUNK_NBYTES or not 0 < header.packed_nbytes <= MAX_PACKED_NBYTES:
            raise InvalidXet(
                f"a chunk of {header.nbytes} bytes, {header.packed_nbytes} packed; "
                f"at most {MAX_CHUNK_NBYTES} and {MAX_PACKED_NBYTES} are taken"
            )
        return header

    def unpack(self, packed: Buffer) -> Buffer:
        """The chunk; raises InvalidXet when there are more or fewer bytes in it."""
        chunk = packed if self.scheme == AS_IT_IS else _from_lz4(packed, self.nbytes)
        if len(chunk) != self.nbytes:
            raise InvalidXet(f"a chunk of {len(chunk)} bytes where {self.nbytes} were announced")
        return ungroup4(chunk) if self.scheme == GROUPED_LZ4 else chunk


def chunk_header(scheme: int, packed_nbytes: int, nbytes: int) -> bytes:
    """The 8 bytes in front of a chunk."""
    return b"\0" + packed_nbytes.to_bytes(3, "little") + bytes([scheme]) + nbytes.to_bytes(3, "little")


def _from_lz4(packed: Buffer, nbytes: int) -> bytes:
    unpacker = lz4.frame.LZ4FrameDecompressor()
    try:
        # One byte more than announced shows that there are more, and bounds what is allocated for it.
        chunk: bytes = unpacker.decompress(packed, max_length=nbytes + 1)
    except RuntimeError as error:
        raise InvalidXet(f"a chunk is not an LZ4 frame: {error}") from None
    if len(chunk) == nbytes and not unpacker.eof and unpacker.needs_input:
        raise InvalidXet("the LZ4 frame of a chunk is cut off")
    return chunk
