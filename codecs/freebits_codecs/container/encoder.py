"""Bytes in, chunk records out: the native core codes planes, zstd takes what is not numbers.

The core reports per chunk how many bytes it left raw although they are compressible (text, padding, odd
planes) and how many came from layouts where repetition is likely. Such chunks are tried with zstd around
the frames, around split but uncoded planes, and around the plain bytes; the smallest wins.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import zstandard
from numpy.typing import NDArray

from freebits_codecs import _core
from freebits_codecs.container.frames import parse_payload
from freebits_codecs.container.records import CHUNK, RECORD_NBYTES, ZSTD_FLAG, Record
from freebits_codecs.planner import NO_EXTENTS, ExtentArrays, sniffed_extents

WORTH_TRYING_NBYTES = 64
"""Compressible bytes in a chunk below which zstd is not asked."""

WORTH_KEEPING = 1 / 256
"""Part of a chunk's payload zstd must save to be kept; decoding it costs more than decoding frames."""

QUICK_LEVEL, USUAL_LEVEL, PATIENT_LEVEL = 3, 12, 19
"""zstd: to choose the form; for its final bytes; and where much is to be had while `PATIENCE_NBYTES` last."""

MUCH = 1 / 50
"""Part of a payload the quick level must save for the patient one to be worth its time."""

PATIENCE_NBYTES = 16 << 20
"""Bytes of one file that may be coded patiently; small files get all, large ones flow."""


class RecordEncoder:
    """Encodes consecutive windows of one file. `extents` None: nothing is known, sniff every chunk."""

    def __init__(self, chunk_nbytes: int, extents: ExtentArrays | None, threads: int) -> None:
        self.chunk_nbytes = chunk_nbytes
        self.threads = threads
        self._extents = extents
        self._patience = PATIENCE_NBYTES

    def bound(self, nbytes: int) -> int:
        """Room the records of `nbytes` bytes need at most."""
        return _core.records_bound(nbytes, self.chunk_nbytes)

    def encode(self, data: memoryview, offset: int, sink: _core.OutputBuffer) -> NDArray[np.uint32]:
        """Append the records of `data`, which lies at `offset` (a multiple of the chunk size) of the file.

        Returns uint32[chunks], the stored length of each.
        """
        extents = self._extents
        if extents is None:
            extents = sniffed_extents(data, offset, self.chunk_nbytes)
        start = sink.length
        stored, compressible, integer = self._native(sink, data, offset, extents, True)
        weak = np.flatnonzero(np.maximum(compressible, integer) >= WORTH_TRYING_NBYTES)
        if weak.size:
            self._improve(weak, data, offset, extents, memoryview(sink)[start:], stored)
            sink.length = start + int(stored.sum(dtype=np.int64)) + RECORD_NBYTES * stored.size
        return stored

    def _native(
        self, sink: _core.OutputBuffer, data: memoryview, offset: int, extents: ExtentArrays, entropy: bool
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint32]]:
        return _core.encode_records(
            sink,
            data,
            offset,
            self.chunk_nbytes,
            extents.starts,
            extents.stops,
            extents.layouts,
            entropy=entropy,
            threads=self.threads,
        )

    def _improve(
        self,
        weak: NDArray[np.intp],
        data: memoryview,
        offset: int,
        extents: ExtentArrays,
        records: memoryview,
        stored: NDArray[np.uint32],
    ) -> None:
        """Replace the records of the `weak` chunks that zstd makes smaller; close the gaps in `records`."""
        starts = np.concatenate(([0], np.cumsum(stored.astype(np.int64) + RECORD_NBYTES)))

        def smaller(chunk: int, level: int) -> bytes | None:
            first = chunk * self.chunk_nbytes
            window = data[first : first + self.chunk_nbytes]
            payload = records[int(starts[chunk]) + RECORD_NBYTES : int(starts[chunk + 1])]
            return self._smaller_record(window, offset + first, extents, payload, level)

        levels = [self._next_level(self.chunk_nbytes) for _ in weak]
        with ThreadPoolExecutor(self.threads) as pool:
            found = dict(zip(weak.tolist(), pool.map(smaller, weak.tolist(), levels), strict=True))
        at = int(starts[int(weak[0])])
        for chunk in range(int(weak[0]), stored.size):
            record = found.get(chunk) or records[int(starts[chunk]) : int(starts[chunk + 1])]
            records[at : at + len(record)] = record
            stored[chunk] = len(record) - RECORD_NBYTES
            at += len(record)

    def _smaller_record(
        self, window: memoryview, offset: int, extents: ExtentArrays, payload: memoryview, level: int
    ) -> bytes | None:
        forms = (
            payload,
            self._split_payload(window, offset, extents),
            self._split_payload(window, offset, NO_EXTENTS),
        )
        quick = [len(_compress(form, QUICK_LEVEL)) for form in forms]
        best = forms[quick.index(min(quick))]
        if min(quick) > len(payload) * (1 - MUCH):
            level = USUAL_LEVEL
        packed = _compress(best, level)
        if len(packed) > len(payload) * (1 - WORTH_KEEPING):
            return None
        return Record.pack(CHUNK, ZSTD_FLAG, len(window), packed)

    def _next_level(self, nbytes: int) -> int:
        """The level for the next weak chunk; spends the file's patience in chunk order."""
        self._patience -= nbytes
        return PATIENT_LEVEL if self._patience >= 0 else USUAL_LEVEL

    def _split_payload(self, window: memoryview, offset: int, extents: ExtentArrays) -> memoryview:
        """The chunk as frames whose planes are split and left uncoded, for zstd to find matches in."""
        sink = _core.OutputBuffer(self.bound(len(window)))
        self._native(sink, window, offset, extents, False)
        return memoryview(sink)[RECORD_NBYTES : sink.length]


def _compress(payload: memoryview, level: int) -> bytes:
    """One zstd frame with a block boundary at every plane's end: planes do not share statistics."""
    planes = [plane for frame in parse_payload(payload).frames for plane in frame.planes]
    compressor = zstandard.ZstdCompressor(level=level)
    if len(planes) == 1:
        return compressor.compress(payload)
    stream = compressor.compressobj(size=len(payload))
    pieces, at = [], 0
    for plane in sorted(planes, key=lambda plane: plane.stop):
        pieces.append(stream.compress(payload[at : plane.stop]))
        if plane.stop - at >= WORTH_TRYING_NBYTES:
            pieces.append(stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
        at = plane.stop
    pieces.append(stream.flush())
    return b"".join(pieces)
