"""(3) A chunk's payload: frames, and the runs that deal their bytes out."""

from __future__ import annotations

import zstandard

from freebits_codecs.errors import CorruptContainer, LimitExceeded
from freebits_codecs.reference.adaptive import AdaptiveBudget
from freebits_codecs.reference.cursor import Cursor, Notice
from freebits_codecs.reference.frame import decode_frame

SLACK_NBYTES = 64
MAX_FRAMES = 255
MAX_RUNS = 8193


def decode_chunk(payload: bytes, nbytes: int, packed: bool, notice: Notice) -> bytes:
    """The `nbytes` bytes of a chunk; `packed`: its payload is a zstd frame."""
    if packed:
        notice("zstd", True)
        payload = _inflate(payload, nbytes + SLACK_NBYTES)
    cursor = Cursor(payload)
    run_count = cursor.varint()
    if run_count > MAX_RUNS:
        raise CorruptContainer("run count", found=run_count, expected=f"at most {MAX_RUNS}")
    runs = [(cursor.u8(), cursor.varint()) for _ in range(run_count)]
    frames = _frames(cursor, nbytes, MAX_FRAMES if runs else nbytes, notice)
    notice("runs", len(runs))
    return _gather(runs, frames, nbytes) if runs else b"".join(frames)


def _inflate(packed: bytes, limit: int) -> bytes:
    """(3.3)"""
    try:
        content_nbytes = zstandard.frame_content_size(packed)
        if content_nbytes < 0:
            raise CorruptContainer("zstd content size", found="none", expected="a number")
        if content_nbytes > limit:
            raise LimitExceeded("zstd content", found=content_nbytes, limit=limit)
        return zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise CorruptContainer("zstd payload", found=str(error), expected="one zstd frame") from None


def _frames(cursor: Cursor, nbytes: int, limit: int, notice: Notice) -> list[bytes]:
    """(3.2) Frames until the chunk is full."""
    frames: list[bytes] = []
    left, adaptive = nbytes, AdaptiveBudget()
    while left:
        if len(frames) == limit:
            raise CorruptContainer("frames", found=f"more than {limit}", expected="fewer")
        frames.append(decode_frame(cursor, left, 0, adaptive, notice))
        left -= len(frames[-1])
    cursor.expect_end("chunk payload")
    return frames


def _gather(runs: list[tuple[int, int]], frames: list[bytes], nbytes: int) -> bytes:
    """(3.1) Each run takes the next bytes of its frame."""
    if sum(length for _, length in runs) != nbytes:
        raise CorruptContainer("bytes of runs", found=sum(length for _, length in runs), expected=nbytes)
    taken = [0] * 256
    pieces = []
    for number, length in runs:
        frame = frames[number] if number < len(frames) else b""
        pieces.append(frame[taken[number] : taken[number] + length])
        taken[number] += length
    if taken[: len(frames)] != [len(frame) for frame in frames]:
        raise CorruptContainer("bytes of frames that runs take", found=taken[: len(frames)], expected="all of them")
    return b"".join(pieces)
