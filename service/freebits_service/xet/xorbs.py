"""Read the chunks of xorbs: those that were unpacked when they arrived, and those that went straight to the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from ..blobs.store import Buffer, ObjectReader, Range
from ..errors import InvalidXet
from ..settings import MIB
from .arriving import ENTRY
from .chunks import HEADER_NBYTES, MAX_CHUNKS, ChunkHeader
from .hashes import chunk_hash, range_hash
from .shards import Segment

_WINDOW_NBYTES = MIB


class Xorb(Protocol):
    """Chunks that a user has sent, in an object of `nbytes` bytes."""

    nbytes: int

    def verified(self, segment: Segment) -> Iterator[Buffer]:
        """The bytes of a segment in pieces; raises InvalidXet, behind the last at the latest, if others were meant."""
        ...

    def place(self, segment: Segment) -> Range | None:
        """Where the bytes of a segment lie as they are, if they do; raises InvalidXet if others were meant."""
        ...

    def close(self) -> None:
        """Let go of the object."""
        ...


class UnpackedXorb:
    """As ``arriving.py`` writes it, with `data_nbytes` of chunks."""

    def __init__(self, key: str, reader: ObjectReader, data_nbytes: int) -> None:
        self._key, self._reader = key, reader
        self.nbytes = reader.nbytes
        entries = reader.read_at(data_nbytes, min(reader.nbytes - data_nbytes, MAX_CHUNKS * ENTRY.size))
        self._hashes, lengths = [], []
        for digest, nbytes in ENTRY.iter_unpack(entries):
            self._hashes.append(digest)
            lengths.append(nbytes)
        self._starts = [0]
        for nbytes in lengths:
            self._starts.append(self._starts[-1] + nbytes)

    def verified(self, segment: Segment) -> Iterator[bytes]:
        """The hashes of the chunks are known: nothing is read before they are compared."""
        place = self.place(segment)
        for at in range(place.start, place.stop, _WINDOW_NBYTES):
            yield self._reader.read_at(at, min(_WINDOW_NBYTES, place.stop - at))

    def place(self, segment: Segment) -> Range:
        """Where a segment lies; raises InvalidXet if others were meant."""
        if segment.stop > len(self._hashes):
            raise InvalidXet(f"chunk {segment.stop - 1} of xorb {segment.xorb}, which has {len(self._hashes)}")
        start, stop = self._starts[segment.first], self._starts[segment.stop]
        _compare(segment, stop - start, self._hashes[segment.first : segment.stop])
        return Range(self._key, start, stop)

    def close(self) -> None:
        """Let go of the object."""
        self._reader.close()


class PackedXorb:
    """As the client sent it. One window of it is in memory; offsets are found as needed."""

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader
        self.nbytes = reader.nbytes
        self._offsets = [0]
        self._window = b""
        self._window_at = 0

    def verified(self, segment: Segment) -> Iterator[Buffer]:
        """A chunk at a time."""
        hashes, nbytes = [], 0
        for number in range(segment.first, segment.stop):
            offset, header = self._find(number)
            chunk = header.unpack(self._bytes(offset + HEADER_NBYTES, header.packed_nbytes))
            hashes.append(chunk_hash(chunk))
            nbytes += len(chunk)
            if nbytes > segment.nbytes:
                break
            yield chunk
        _compare(segment, nbytes, hashes)

    def close(self) -> None:
        """Let go of the object."""
        self._reader.close()

    def place(self, segment: Segment) -> None:
        """Nowhere: packed."""

    def _find(self, number: int) -> tuple[int, ChunkHeader]:
        """Where a chunk begins, and its header."""
        while True:
            last = len(self._offsets) - 1
            at = min(number, last)
            header = ChunkHeader.parse(self._bytes(self._offsets[at], HEADER_NBYTES))
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


def _compare(segment: Segment, nbytes: int, hashes: list[bytes]) -> None:
    if nbytes != segment.nbytes or range_hash(hashes) != segment.verification:
        raise InvalidXet(
            f"chunks {segment.first} to {segment.stop} of xorb {segment.xorb} are not those that the shard means"
        )
