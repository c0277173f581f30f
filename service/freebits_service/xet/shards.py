"""Read which files a shard describes.

A shard begins with 48 bytes of header (a tag, version, size of a footer that uploads do not have). Then come files,
everything in entries of 48 bytes, little endian:

    file          hash 32, flags 4, number of segments 4, unused 8
    segment       hash of the xorb 32, flags 4, bytes of the segment 4, first chunk 4, behind the last chunk 4
    verification  hash over the segment's chunk hashes 32, unused 16     one per segment, with flag bit 31
    metadata      SHA-256 of the file 32, unused 16                      one, with flag bit 30

The files end with an entry of 32 bytes 0xff. What follows describes the xorbs, which are here already.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ..errors import InvalidXet
from .chunks import MAX_CHUNK_NBYTES, MAX_CHUNKS
from .hashes import HASH_NBYTES, to_hex

_ENTRY = struct.Struct("<32s4I")
_TAG = b"HFRepoMetaData" + bytes.fromhex("00556967456a7b815783a5bdd95ccdd14aa9")
_VERSION = 2
_VERIFICATION, _METADATA = 1 << 31, 1 << 30
_END = b"\xff" * HASH_NBYTES


@dataclass(frozen=True, slots=True)
class Segment:
    """Chunks ``[first, stop)`` of a xorb, `nbytes` bytes in all; `verification` is the hash over their hashes."""

    xorb: str
    first: int
    stop: int
    nbytes: int
    verification: bytes


@dataclass(frozen=True, slots=True)
class ShardFile:
    """A file by its content: the segments are it, one after another."""

    sha256: str
    segments: tuple[Segment, ...]

    @property
    def nbytes(self) -> int:
        """Size of the file in bytes."""
        return sum(segment.nbytes for segment in self.segments)


def read_files(shard: BinaryIO, shard_nbytes: int) -> Iterator[ShardFile]:
    """The files of a shard, one in memory at a time; raises InvalidXet."""
    tag, version = shard.read(len(_TAG)), int.from_bytes(shard.read(8), "little")
    shard.read(8)
    if tag != _TAG or version != _VERSION:
        raise InvalidXet(f"this is no shard of version {_VERSION}")
    left = (shard_nbytes - shard.tell()) // _ENTRY.size
    while left > 0:
        file_hash, flags, count, _, _ = _entry(shard)
        if file_hash == _END:
            return
        if not flags & _VERIFICATION or not flags & _METADATA:
            raise InvalidXet(f"file {to_hex(file_hash)} comes without verification hashes, or without its SHA-256")
        left -= 2 * count + 2
        if left < 0:  # a count is believed only when so many entries are there
            raise InvalidXet(f"file {to_hex(file_hash)} has {count} segments in a shard that ends before")
        yield _file(shard, count)
    raise InvalidXet("the files of the shard do not end")


def _file(shard: BinaryIO, count: int) -> ShardFile:
    segments = [_entry(shard) for _ in range(count)]
    verifications = [_entry(shard)[0] for _ in range(count)]
    sha256 = to_hex(_entry(shard)[0])
    return ShardFile(sha256, tuple(map(_segment, segments, verifications)))


def _segment(entry: tuple[bytes, int, int, int, int], verification: bytes) -> Segment:
    xorb, _, nbytes, first, stop = entry
    if not first < stop <= MAX_CHUNKS or not 0 < nbytes <= (stop - first) * MAX_CHUNK_NBYTES:
        raise InvalidXet(f"a segment of chunks {first} to {stop} with {nbytes} bytes cannot be")
    return Segment(to_hex(xorb), first, stop, nbytes, verification)


def _entry(shard: BinaryIO) -> tuple[bytes, int, int, int, int]:
    raw = shard.read(_ENTRY.size)
    if len(raw) != _ENTRY.size:
        raise InvalidXet("the shard is cut off")
    return _ENTRY.unpack(raw)
