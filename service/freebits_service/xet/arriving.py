"""Unpack the chunks of a xorb while it arrives, so that little is left to do when a shard says what files they make.

What is stored are the chunks as they are, one behind the other, and behind them an entry of 36 bytes for each: its
hash, and its length (4 bytes, little endian). ``xorbs.py`` reads that.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Self

from ..blobs.store import Buffer, PartWriter
from ..errors import InvalidXet
from .chunks import HEADER_NBYTES, MAX_CHUNKS, MAX_NBYTES, ChunkHeader
from .hashes import chunk_hash

ENTRY = struct.Struct("<32sI")


class UnpackedPart:
    """Writes to `part`, of an object of its own, the chunks of what is written to it. A PartWriter itself."""

    def __init__(self, part: PartWriter) -> None:
        self._part = part
        self._left = b""
        self._entries: list[bytes] = []
        self._is_over = False
        self.data_nbytes = 0
        """Bytes of the chunks, before their entries."""

    @property
    def nbytes(self) -> int:
        """Bytes of the object."""
        return self.data_nbytes + ENTRY.size * len(self._entries)

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Take the next bytes of a xorb; raises InvalidXet, StorageFull."""
        packed = memoryview(b"".join((self._left, *buffers)))
        chunks, at = [], 0
        while not self._is_over and len(packed) - at >= HEADER_NBYTES:
            if packed[at]:
                self._is_over = True  # a footer, as older clients send it; the hub has no use for it
                break
            header = ChunkHeader.parse(packed[at : at + HEADER_NBYTES])
            start, stop = at + HEADER_NBYTES, at + HEADER_NBYTES + header.packed_nbytes
            if stop > len(packed):
                break
            chunks.append(self._note(header.unpack(packed[start:stop])))
            at = stop
        self._left = b"" if self._is_over else bytes(packed[at:])
        self._part.write(chunks)

    def _note(self, chunk: Buffer) -> Buffer:
        self._entries.append(ENTRY.pack(chunk_hash(chunk), len(chunk)))
        self.data_nbytes += len(chunk)
        if len(self._entries) > MAX_CHUNKS or self.data_nbytes > MAX_NBYTES:
            raise InvalidXet(f"a xorb has at most {MAX_CHUNKS} chunks of {MAX_NBYTES} bytes")
        return chunk

    def finish(self) -> None:
        """Write the entries; raises InvalidXet when a chunk is cut off."""
        if self._left:
            raise InvalidXet(f"a xorb ends with {len(self._left)} bytes that are no whole chunk")
        self._part.write([b"".join(self._entries)])
        self._part.finish()

    def close(self) -> None:
        """Let go of the part."""
        self._part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
