"""Chunk records in, bytes out: the checks and steps every way of reading shares."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import zstandard

from freebits_codecs import _core
from freebits_codecs.container.records import PAYLOAD_SLACK_NBYTES, RECORD_NBYTES, ZSTD_FLAG, Record
from freebits_codecs.errors import CorruptContainer, LimitExceeded

_FAULTS = {
    1: "payload ends early",
    2: "layout code",
    3: "plane codec",
    4: "bytes of frames",
    5: "bytes of a rANS plane",
    6: "model",
    7: "rANS stream end or lane state",
    8: "escape count",
    9: "nesting of escape values",
    10: "number of more than 32 bits",
    11: "checksum",
    12: "run count",
    13: "bytes of an adaptive plane",
    14: "bytes of a header plane",
}
"""csrc/status.h, as words."""


def decode_batch(
    data: memoryview,
    records: Sequence[Record],
    offsets: Sequence[int],
    out: memoryview,
    *,
    first_chunk: int,
    threads: int,
) -> None:
    """Decode `records`, which lie at `offsets` of `data`, one after the other into `out`.

    `out` is exactly as long as the records' decoded lengths together. `first_chunk` is the first one's number,
    for messages. Raises CorruptContainer, LimitExceeded.
    """
    sizes = np.array([r.nbytes for r in records], np.uint64)
    out_offsets = np.cumsum(sizes, dtype=np.uint64) - sizes
    fault = _core.decode_records(data, np.array(offsets, np.uint64), out, out_offsets, threads=threads)
    if fault:
        _raise(fault, first_chunk)
    packed = [i for i, record in enumerate(records) if record.flags & ZSTD_FLAG]
    if not packed:
        return

    def unpack(i: int) -> None:
        start = offsets[i] + RECORD_NBYTES
        target = int(out_offsets[i])
        _decode_packed(
            data[start : start + records[i].stored_nbytes],
            out[target : target + records[i].nbytes],
            first_chunk + i,
        )

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(unpack, packed))


def _decode_packed(packed: memoryview, out: memoryview, chunk: int) -> None:
    fault = _core.decode_payload(inflate(packed, len(out), chunk), out)
    if fault:
        _raise(fault, chunk)


def inflate(packed: memoryview | bytes, nbytes: int, chunk: int) -> bytes:
    """The frames inside the zstd payload of a chunk of `nbytes`; sizes are checked before anything is allocated."""
    limit = nbytes + PAYLOAD_SLACK_NBYTES
    try:
        declared = zstandard.frame_content_size(packed)
        if declared < 0:
            raise CorruptContainer("zstd content size", found="none", expected="a number", chunk=chunk)
        if declared > limit:
            raise LimitExceeded(f"zstd content of chunk {chunk}", found=declared, limit=limit)
        payload = zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise CorruptContainer("zstd payload", found=str(error), expected="a zstd frame", chunk=chunk) from None
    return payload


def _raise(fault: _core.Fault, first_chunk: int) -> None:
    record, code, found, expected, consumed = fault
    what = f"{_FAULTS[code]}, {consumed} bytes into the payload"
    as_text = (lambda v: f"{v:08x}") if code == 11 else str
    raise CorruptContainer(what, found=as_text(found), expected=as_text(expected), chunk=first_chunk + record)
