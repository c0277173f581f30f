"""Files as xorbs that nobody stored: where everything would be, by arithmetic. Pure.

A file is cut into pieces of `XORB_NBYTES`, each a xorb; its chunks have `CHUNK_NBYTES` each, the last one of the file
fewer, and each stands behind a header of 8 bytes that says that it is not packed. So where a chunk begins, in the file
and in its xorb, is a multiplication, and a xorb of a file is made from the bytes of the file whenever it is asked for.

What a xorb is called is made up, too: clients look at the name for nothing but to tell xorbs apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from ..downloads.ranges import ByteRange
from ..settings import MIB
from .chunks import AS_IT_IS, HEADER_NBYTES, MAX_CHUNK_NBYTES, chunk_header

CHUNK_NBYTES = MAX_CHUNK_NBYTES
XORB_NBYTES = 64 * MIB  # of the file; what clients fetch in one go
FRAME_NBYTES = HEADER_NBYTES + CHUNK_NBYTES


@dataclass(frozen=True, slots=True)
class GeneratedXorb:
    """The bytes ``[start, start + data_nbytes)`` of a file as a xorb; at least one byte."""

    start: int
    data_nbytes: int

    @property
    def chunk_count(self) -> int:
        """How many chunks it has."""
        return -(-self.data_nbytes // CHUNK_NBYTES)

    @property
    def nbytes(self) -> int:
        """Its size with the headers."""
        return self.data_nbytes + self.chunk_count * HEADER_NBYTES

    def chunk_offset(self, chunk: int) -> int:
        """Where a chunk's header begins; behind the last chunk the xorb ends."""
        return min(chunk * FRAME_NBYTES, self.nbytes)

    def chunks_nbytes(self, first: int, stop: int) -> int:
        """Bytes of the file in the chunks ``[first, stop)``."""
        return min(stop * CHUNK_NBYTES, self.data_nbytes) - first * CHUNK_NBYTES

    def header(self, chunk: int) -> bytes:
        """The 8 bytes in front of a chunk."""
        nbytes = self.chunks_nbytes(chunk, chunk + 1)
        return chunk_header(AS_IT_IS, nbytes, nbytes)

    def data_range(self, start: int, stop: int) -> tuple[int, int]:
        """Where the bytes of the file begin and end that the bytes ``[start, stop)`` of the xorb hold; maybe none."""
        return self.start + self._data_before(start), self.start + self._data_before(stop)

    def _data_before(self, offset: int) -> int:
        chunk, inside = divmod(offset, FRAME_NBYTES)
        return min(chunk * CHUNK_NBYTES + max(0, inside - HEADER_NBYTES), self.data_nbytes)


@dataclass(frozen=True, slots=True)
class Term:
    """Chunks ``[first, stop)`` of a file's xorb of this number."""

    number: int
    xorb: GeneratedXorb
    first: int
    stop: int

    @property
    def nbytes(self) -> int:
        """Bytes of the file in it."""
        return self.xorb.chunks_nbytes(self.first, self.stop)

    @property
    def byte_range(self) -> ByteRange:
        """Where its chunks with their headers are in the xorb."""
        return ByteRange(self.xorb.chunk_offset(self.first), self.xorb.chunk_offset(self.stop))


def xorb_count(nbytes: int) -> int:
    """How many xorbs a file of `nbytes` has."""
    return -(-nbytes // XORB_NBYTES)


def xorb_of(nbytes: int, number: int) -> GeneratedXorb:
    """The xorb of a number below `xorb_count` of a file of `nbytes`."""
    start = number * XORB_NBYTES
    return GeneratedXorb(start, min(XORB_NBYTES, nbytes - start))


def xorb_name(sha256: str, number: int) -> str:
    """What a xorb of the file is called: 64 hex digits, others for other layouts, for clients keep chunks by it."""
    return hashlib.sha256(f"{sha256} {XORB_NBYTES} {CHUNK_NBYTES} {number}".encode()).hexdigest()


def terms(nbytes: int, span: ByteRange) -> Iterator[Term]:
    """The chunks that the bytes of `span` lie in, xorb by xorb."""
    for number in range(span.start // XORB_NBYTES, xorb_count(span.stop)):
        xorb = xorb_of(nbytes, number)
        start, stop = max(span.start - xorb.start, 0), min(span.stop - xorb.start, xorb.data_nbytes)
        yield Term(number, xorb, start // CHUNK_NBYTES, -(-stop // CHUNK_NBYTES))
