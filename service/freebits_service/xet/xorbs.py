"""Read chunks out of a xorb.

A xorb is chunks one after another, each behind a header of 8 bytes: version (0), length as packed (3 bytes, little
endian), scheme, length of the chunk (3 bytes). Schemes: 0 as it is, 1 an LZ4 frame, 2 the chunk's bytes sorted by their
position modulo 4, then an LZ4 frame. Nothing of it is believed before it was checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import lz4.frame

from freebits_codecs import ungroup4

from ..blobs.store import ObjectReader
from ..errors import InvalidXet
from ..settings import MIB

MAX_XORB_NBYTES = 64 * MIB + 2 * MIB  # of the chunks 64 MiB, and room for headers of incompressible ones
MAX_CHUNK_NBYTES = 128 * 1024
_MAX_PACKED_NBYTES = 2 * MAX_CHUNK_NBYTES
HEADER_NBYTES = 8
_WINDOW_NBYTES = MIB
AS_IT_IS, LZ4, GROUPED_LZ4 = 0, 1, 2


@dataclass(frozen=True, slots=True)
class _Header:
    packed_nbytes: int
    scheme: int
    nbytes: int

    @classmethod
    def parse(cls, raw: bytes) -> _Header:
        header = cls(int.from_bytes(raw[1:4], "little"), raw[4], int.from_bytes(raw[5:8], "little"))
        if raw[0] != 0 or header.scheme > GROUPED_LZ4:
            raise InvalidXet(f"a chunk of version {raw[0]} and scheme {header.scheme}; known are 0, and 0 to 2")
        if not 0 < header.nbytes <= MAX_CHUNK_NBYTES or not 0 < header.packed_nbytes <= _MAX_PACKED_NBYTES:
            raise InvalidXet(
                f"a chunk of {header.nbytes} bytes, {header.packed_nbytes} packed; "
                f"at most {MAX_CHUNK_NBYTES} and {_MAX_PACKED_NBYTES} are taken"
            )
        return header


class Xorb:
    """The chunks of an object, by their numbers. One window of it is in memory; offsets are found as needed."""

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader
        self._offsets = [0]
        self._window = b""
        self._window_at = 0

    def chunks(self, first: int, stop: int) -> Iterator[bytes]:
        """The chunks ``[first, stop)``; raises InvalidXet."""
        for number in range(first, stop):
            offset, header = self._find(number)
            yield unpack(self._bytes(offset + HEADER_NBYTES, header.packed_nbytes), header.scheme, header.nbytes)

    def close(self) -> None:
        """Let go of the object."""
        self._reader.close()

    def _find(self, number: int) -> tuple[int, _Header]:
        """Where a chunk begins, and its header."""
        while True:
            last = len(self._offsets) - 1
            at = min(number, last)
            header = _Header.parse(self._bytes(self._offsets[at], HEADER_NBYTES))
            if at == last:
                self._offsets.append(self._offsets[at] + HEADER_NBYTES + header.packed_nbytes)
            if at == number:
                return self._offsets[at], header

    def _bytes(self, offset: int, nbytes: int) -> bytes:
        if offset + nbytes > self._reader.nbytes:
            raise InvalidXet(f"a chunk ends at byte {offset + nbytes} of a xorb of {self._reader.nbytes}")
        start = offset - self._window_at
        if start < 0 or start + nbytes > len(self._window):
            wanted = min(max(nbytes, _WINDOW_NBYTES), self._reader.nbytes - offset)
            self._window, self._window_at, start = self._reader.read_at(offset, wanted), offset, 0
        return self._window[start : start + nbytes]


def unpack(packed: bytes, scheme: int, nbytes: int) -> bytes:
    """A chunk of `nbytes` bytes; raises InvalidXet when there are more or fewer in it."""
    chunk = packed if scheme == AS_IT_IS else _from_lz4(packed, nbytes)
    if len(chunk) != nbytes:
        raise InvalidXet(f"a chunk of {len(chunk)} bytes where {nbytes} were announced")
    return ungroup4(chunk) if scheme == GROUPED_LZ4 else chunk


def _from_lz4(packed: bytes, nbytes: int) -> bytes:
    unpacker = lz4.frame.LZ4FrameDecompressor()
    try:
        # One byte more than announced shows that there are more, and bounds what is allocated for it.
        chunk: bytes = unpacker.decompress(packed, max_length=nbytes + 1)
    except RuntimeError as error:
        raise InvalidXet(f"a chunk is not an LZ4 frame: {error}") from None
    if len(chunk) == nbytes and not unpacker.eof and unpacker.needs_input:
        raise InvalidXet("the LZ4 frame of a chunk is cut off")
    return chunk
