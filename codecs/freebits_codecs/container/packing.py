"""zstd around a chunk's payload: which form of the chunk it packs best, and how hard to try."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import zstandard

from freebits_codecs.container.frames import HEADER, RAW, parse_payload
from freebits_codecs.container.header_plane import without_offsets
from freebits_codecs.container.zstd_frame import compress_head

Payload = memoryview
Form = Callable[[], Payload]
"""Makes another payload of the same chunk; only called when it may win."""

WORTH_TRYING_NBYTES = 64
WORTH_TRYING = 1 / 512
"""Compressible bytes, and part of the payload, below which zstd is not asked; a file's first chunk needs no part."""

WORTH_KEEPING = 1 / 256
"""Part of the payload zstd must save; unpacking it costs more than decoding frames. In a file's first chunk, which has
the header and is not one of many, WORTH_TRYING_NBYTES are enough."""

MOSTLY_NUMBERS = 1 / 4
"""With a smaller compressible part than this the frames are right and zstd only tidies up what is between."""

MUCH = 1 / 50
"""Part of a payload that must be to be had for patience to be worth its time."""

PATIENCE_NBYTES = 4 << 20
"""Bytes of one file that may be packed patiently: small files get all, large ones flow."""

_QUICK, _BRISK, _USUAL, _PATIENT = 3, 8, 12, 22
"""Levels of zstd. The brisk one is for headers of large files: nine times as fast there as the usual one, and at most
130 bytes behind."""

_PATIENT_STRATEGIES = (zstandard.STRATEGY_BTOPT, zstandard.STRATEGY_BTULTRA2)
"""Both are asked: on quantised weights, where matches of 3 bytes are a gamble, the heavier one loses by a percent."""


class Packer:
    """Packs the weak chunks of one file. Deterministic: what it does depends on the bytes before, not on time."""

    def __init__(self) -> None:
        self._patience = PATIENCE_NBYTES

    def plan(self, weak_nbytes: int, nbytes: int, *, is_first: bool, is_whole_file: bool) -> Packing:
        """How to treat a chunk of `nbytes` with `weak_nbytes` compressible bytes; call in chunk order."""
        if weak_nbytes < nbytes * MOSTLY_NUMBERS and not is_whole_file:
            return Packing(weak_nbytes, tries_forms=False, is_patient=False, is_first=is_first)
        self._patience -= nbytes
        return Packing(weak_nbytes, tries_forms=True, is_patient=self._patience >= 0, is_first=is_first)


@dataclass(frozen=True, slots=True)
class Packing:
    """What `Packer.plan` decided; safe to run on any thread."""

    weak_nbytes: int
    tries_forms: bool
    is_patient: bool
    is_first: bool

    def pack(self, payload: Payload, forms: tuple[Form, ...]) -> bytes | None:
        """The payload or one of its other forms, packed; None when that saves too little."""
        made = [payload, *(form() for form in forms)] if self.tries_forms else [payload]
        if self.is_first:
            made = [without_offsets(each) for each in made]
        candidates = list({bytes(each): each for each in made}.values())
        packed = [self._pack_head(each, nbytes) for each in candidates if (nbytes := text_nbytes(each))]
        if len(candidates) > 1 or not packed or text_nbytes(payload) < self.weak_nbytes:
            packed.append(self._pack_whole(candidates, min(map(len, (payload, *packed)))))
        smallest = min(packed, key=len)
        margin = WORTH_TRYING_NBYTES if self.is_first else len(payload) * WORTH_KEEPING
        return smallest if len(smallest) <= len(payload) - margin else None

    def _pack_head(self, payload: Payload, nbytes: int) -> bytes:
        level = _PATIENT if self.is_patient else _BRISK
        return compress_head(payload, nbytes, zstandard.ZstdCompressor(level=level))

    def _pack_whole(self, candidates: list[Payload], nbytes_so_far: int) -> bytes:
        """The payload, or another form of it with which zstd gets well below what there is so far."""
        if not self.tries_forms:
            return compress(candidates[0], _QUICK)
        quick = [len(compress(candidate, _QUICK)) for candidate in candidates]
        if min(quick) > nbytes_so_far * (1 - MUCH):
            return compress(candidates[0], _USUAL)
        promising = candidates[quick.index(min(quick))]
        return compress_patiently(promising) if self.is_patient else compress(promising, _USUAL)


def text_nbytes(payload: Payload) -> int:
    """Where the text ends that a payload begins with, run list included; 0 where that is not a smaller part of it."""
    frame = parse_payload(payload).frames[0]
    if frame.layout != "bytes" or frame.planes[0].codec not in (RAW, HEADER):
        return 0
    end = frame.planes[0].stop
    return end if 2 * end <= len(payload) else 0


def compress_patiently(payload: Payload) -> bytes:
    """The smallest of what zstd's last level makes of it with several strategies."""
    parameters = (
        zstandard.ZstdCompressionParameters.from_level(
            _PATIENT, source_size=len(payload), strategy=strategy, min_match=3, write_content_size=True
        )
        for strategy in _PATIENT_STRATEGIES
    )
    return min((_in_blocks(payload, zstandard.ZstdCompressor(compression_params=each)) for each in parameters), key=len)


def compress(payload: Payload, level: int) -> bytes:
    """What zstd makes of it at a level."""
    return _in_blocks(payload, zstandard.ZstdCompressor(level=level))


def _in_blocks(payload: Payload, compressor: zstandard.ZstdCompressor) -> bytes:
    """One zstd frame with a block boundary at every plane's end: planes do not share statistics."""
    planes = [plane for frame in parse_payload(payload).frames for plane in frame.planes]
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
