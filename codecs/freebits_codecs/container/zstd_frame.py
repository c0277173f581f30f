"""A Zstandard frame (RFC 8878) whose beginning is compressed and whose rest is stored as it is.

zstd itself looks for matches everywhere, and the harder it is told to try the longer it takes. A payload that begins
with text and goes on with coded numbers deserves that for the text only, and unpacking the rest is copying it.
"""

from __future__ import annotations

import struct

import zstandard

_MAGIC = 0xFD2FB528
_SIZE_IN_FOUR_BYTES = 2 << 6
_SINGLE_SEGMENT = 1 << 5
_LAST = 1
_BLOCK_NBYTES = 1 << 17
"""The longest block a frame may have."""


def compress_head(data: memoryview, head_nbytes: int, compressor: zstandard.ZstdCompressor) -> bytes:
    """`data`, of less than 4 GiB, as one frame: its first `head_nbytes` by `compressor`, the rest in raw blocks."""
    header = struct.pack("<IBI", _MAGIC, _SIZE_IN_FOUR_BYTES | _SINGLE_SEGMENT, len(data))
    return b"".join((header, *_compressed_blocks(data[:head_nbytes], compressor), *_raw_blocks(data[head_nbytes:])))


def _compressed_blocks(head: memoryview, compressor: zstandard.ZstdCompressor) -> list[bytes]:
    """The blocks of a frame of its own, none marked as the last. They refer to nothing before their frame."""
    frame = compressor.compress(head)
    if zstandard.get_frame_parameters(frame).has_checksum:
        raise ValueError("the compressor writes checksums, which would pass for a block; make one that does not")
    blocks = []
    at = zstandard.frame_header_size(frame)
    while at < len(frame):
        fields = int.from_bytes(frame[at : at + 3], "little")
        stop = at + 3 + (1 if fields >> 1 & 3 == 1 else fields >> 3)  # of a repeated byte one is stored
        blocks += [(fields & ~_LAST).to_bytes(3, "little"), frame[at + 3 : stop]]
        at = stop
    return blocks


def _raw_blocks(rest: memoryview) -> list[bytes | memoryview]:
    """At least one, for there to be a last one."""
    blocks: list[bytes | memoryview] = []
    for at in range(0, max(len(rest), 1), _BLOCK_NBYTES):
        block = rest[at : at + _BLOCK_NBYTES]
        is_last = at + _BLOCK_NBYTES >= len(rest)
        blocks += [(len(block) << 3 | is_last).to_bytes(3, "little"), block]
    return blocks
