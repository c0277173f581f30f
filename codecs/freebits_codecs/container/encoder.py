"""Bytes in, chunk records out: the native core codes planes, zstd packs what is not numbers.

The core reports per chunk how many bytes it left raw although they are compressible (text, padding, odd
planes) and in how many repetition is likely. Such weak chunks are offered to zstd.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from freebits_codecs import _core
from freebits_codecs.container import frames
from freebits_codecs.container.decoder import inflate
from freebits_codecs.container.packing import WORTH_TRYING, WORTH_TRYING_NBYTES, Form, Packer, Packing
from freebits_codecs.container.records import (
    BARE,
    CHUNK,
    DIGESTED,
    FIRST_VERSION,
    RECORD_NBYTES,
    TERSE_VERSION,
    ZSTD_FLAG,
    Header,
    Record,
)
from freebits_codecs.planner import NO_EXTENTS, ExtentArrays, sniffed_extents

SPLIT_ONLY, ENTROPY, ADAPTIVE = range(3)
"""Efforts, as csrc/frame.h numbers them."""

Notes = tuple[NDArray[np.uint32], NDArray[np.uint32]]
"""Per chunk: stored bytes, weak bytes."""


class RecordEncoder:
    """Encodes consecutive windows of one file. `extents` None: nothing is known, sniff every chunk."""

    def __init__(self, chunk_nbytes: int, extents: ExtentArrays | None, threads: int) -> None:
        self.chunk_nbytes = chunk_nbytes
        self.threads = threads
        self._extents = extents
        self._packer = Packer()
        self._is_one_chunk = self._has_header_plane = False

    def header(self, form: int, *, has_digest: bool) -> Header:
        """What the container begins with; known when the first bytes are encoded.

        Its version is the lowest that has all the container uses: adaptive planes are in files of one chunk only, and
        these have a short ending, which is newer.
        """
        if self._is_one_chunk:
            return Header(self.chunk_nbytes, form, TERSE_VERSION, DIGESTED if has_digest else BARE)
        return Header(self.chunk_nbytes, form, TERSE_VERSION if self._has_header_plane else FIRST_VERSION)

    def is_whole_file(self, offset: int, nbytes: int) -> bool:
        """Whether `nbytes` that lie at `offset` are a file of one chunk: shorter ones come at a file's end only."""
        return offset == 0 and 0 < nbytes < self.chunk_nbytes

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
        if offset == 0:
            self._is_one_chunk = self.is_whole_file(offset, len(data))
        start = sink.length
        stored, weak = self._native(sink, data, offset, extents)
        hopeful = np.flatnonzero(weak >= self._enough(stored, offset, len(data)))
        if hopeful.size:
            window = _Window(self, data, offset, extents)
            plans = {int(chunk): self._plan(window, int(chunk), int(weak[chunk])) for chunk in hopeful}
            _repack(memoryview(sink)[start:], stored, window, plans, self.threads)
            sink.length = start + int(stored.sum(dtype=np.int64)) + RECORD_NBYTES * stored.size
            if offset == 0 and not self._is_one_chunk:
                self._has_header_plane = _has_header_plane(memoryview(sink)[start:][: RECORD_NBYTES + int(stored[0])])
        return stored

    def _enough(self, stored: NDArray[np.uint32], offset: int, nbytes: int) -> NDArray[np.float64]:
        """Weak bytes from which zstd is asked: in a small file none, in the first chunk of a large one few."""
        enough: NDArray[np.float64] = np.maximum(WORTH_TRYING_NBYTES, stored * WORTH_TRYING)
        if offset == 0:
            enough[:1] = 0 if self.is_whole_file(offset, nbytes) else WORTH_TRYING_NBYTES
        return enough

    def _plan(self, window: _Window, chunk: int, weak_nbytes: int) -> Packing:
        nbytes = len(window.chunk(chunk))
        is_first = window.offset == 0 and chunk == 0
        is_whole_file = is_first and self.is_whole_file(0, nbytes)
        return self._packer.plan(weak_nbytes, nbytes, is_first=is_first, is_whole_file=is_whole_file)

    def _native(
        self,
        sink: _core.OutputBuffer,
        data: memoryview,
        offset: int,
        extents: ExtentArrays,
        effort: int = ENTROPY,
    ) -> Notes:
        arrays = (extents.starts, extents.stops, extents.layouts)
        stored, compressible, repetitive = _core.encode_records(
            sink, data, offset, self.chunk_nbytes, *arrays, effort=effort, threads=self.threads
        )
        return stored, np.maximum(compressible, repetitive)

    def payload(self, data: memoryview, offset: int, extents: ExtentArrays, effort: int) -> memoryview:
        """One chunk as frames, made with an effort of SPLIT_ONLY, ENTROPY or ADAPTIVE."""
        sink = _core.OutputBuffer(self.bound(len(data)))
        self._native(sink, data, offset, extents, effort)
        return memoryview(sink)[RECORD_NBYTES : sink.length]


class _Window:
    """The bytes at hand and the other forms their chunks can take."""

    def __init__(self, encoder: RecordEncoder, data: memoryview, offset: int, extents: ExtentArrays) -> None:
        self.data, self.offset = data, offset
        self._encoder, self._extents = encoder, extents

    def chunk(self, number: int) -> memoryview:
        first = number * self._encoder.chunk_nbytes
        return self.data[first : first + self._encoder.chunk_nbytes]

    def pack(self, number: int, packing: Packing, payload: memoryview) -> bytes | None:
        """The chunk's record with a zstd payload, if that is smaller."""
        chunk = self.chunk(number)
        in_file = self.offset // self._encoder.chunk_nbytes + number
        offset = in_file * self._encoder.chunk_nbytes
        form = partial(self._encoder.payload, chunk, offset)
        forms: list[Form] = [partial(form, self._extents, SPLIT_ONLY), partial(form, NO_EXTENTS, SPLIT_ONLY)]
        if self._encoder.is_whole_file(offset, len(chunk)):
            adaptive = form(self._extents, ADAPTIVE)
            if len(adaptive) <= len(payload) - WORTH_TRYING_NBYTES:  # else not worth asking newer readers
                forms.append(lambda: adaptive)
        packed = packing.pack(payload, tuple(forms))
        return None if packed is None else Record.pack(CHUNK, ZSTD_FLAG, in_file, len(chunk), packed)


def _repack(
    records: memoryview,
    stored: NDArray[np.uint32],
    window: _Window,
    plans: dict[int, Packing],
    threads: int,
) -> None:
    """Replace the records that zstd makes smaller and close the gaps; `stored` follows."""
    starts = np.concatenate(([0], np.cumsum(stored.astype(np.int64) + RECORD_NBYTES))).tolist()

    def smaller(chunk: int) -> bytes | None:
        return window.pack(chunk, plans[chunk], records[starts[chunk] + RECORD_NBYTES : starts[chunk + 1]])

    with ThreadPoolExecutor(threads) as pool:
        found = dict(zip(plans, pool.map(smaller, plans), strict=True))
    first = min(plans)
    at = starts[first]
    for chunk in range(first, stored.size):
        record = found.get(chunk) or records[starts[chunk] : starts[chunk + 1]]
        records[at : at + len(record)] = record
        stored[chunk] = len(record) - RECORD_NBYTES
        at += len(record)


def _has_header_plane(record: memoryview) -> bool:
    """Whether a file's first record has one: they are made for zstd to pack them, and nowhere else."""
    head = Record.parse(record[:RECORD_NBYTES], 0, _core.MAX_CHUNK_NBYTES, 0)
    if not head.flags & ZSTD_FLAG:
        return False
    payload = frames.parse_payload(inflate(record[RECORD_NBYTES:], head.nbytes, 0))
    return payload.frames[0].planes[0].codec == frames.HEADER
