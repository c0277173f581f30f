"""zstd around a chunk's payload: which form of the chunk it packs best, and how hard to try."""

from __future__ import annotations

from collections.abc import Callable

import zstandard

from freebits_codecs.container.frames import parse_payload

Payload = memoryview
Form = Callable[[], Payload]
"""Makes another payload of the same chunk; only called when it may win."""

WORTH_TRYING_NBYTES = 64
WORTH_TRYING = 1 / 512
"""Compressible bytes, and part of the payload, below which zstd is not asked."""

WORTH_KEEPING = 1 / 256
"""Part of the payload zstd must save; unpacking it costs more than decoding frames."""

MOSTLY_NUMBERS = 1 / 4
"""With a smaller compressible part than this the frames are right and zstd only tidies up what is between."""

MUCH = 1 / 50
"""Part of a payload that must be to be had for patience to be worth its time."""

PATIENCE_NBYTES = 4 << 20
"""Bytes of one file that may be packed patiently: small files get all, large ones flow."""

_QUICK, _USUAL, _PATIENT = 3, 12, 22

_PATIENT_STRATEGIES = (zstandard.STRATEGY_BTOPT, zstandard.STRATEGY_BTULTRA2)
"""Both are asked: on quantised weights, where matches of 3 bytes are a gamble, the heavier one loses by a percent."""


class Packer:
    """Packs the weak chunks of one file. Deterministic: what it does depends on the bytes before, not on time."""

    def __init__(self) -> None:
        self._patience = PATIENCE_NBYTES

    def plan(self, weak_nbytes: int, nbytes: int, *, whole_file: bool) -> Packing:
        """How to treat a chunk of `nbytes` with `weak_nbytes` compressible bytes; call in chunk order."""
        if weak_nbytes < nbytes * MOSTLY_NUMBERS:
            return Packing((), _USUAL if whole_file else _QUICK, is_patient=False)
        self._patience -= nbytes
        return Packing((0, 1), _USUAL, is_patient=self._patience >= 0)


class Packing:
    """What `Packer.plan` decided; safe to run on any thread."""

    def __init__(self, alternatives: tuple[int, ...], level: int, *, is_patient: bool) -> None:
        self._alternatives = alternatives
        self._level = level
        self._is_patient = is_patient

    def pack(self, payload: Payload, forms: tuple[Form, ...]) -> bytes | None:
        """The payload or one of its other forms, packed; None when that saves too little."""
        packed = self._best(payload, forms) if self._alternatives else compress(payload, self._level)
        return packed if len(packed) <= len(payload) * (1 - WORTH_KEEPING) else None

    def _best(self, payload: Payload, forms: tuple[Form, ...]) -> bytes:
        candidates = list({bytes(form): form for form in (payload, *(forms[i]() for i in self._alternatives))}.values())
        quick = [len(compress(candidate, _QUICK)) for candidate in candidates]
        best = candidates[quick.index(min(quick))]
        much = min(quick) <= len(payload) * (1 - MUCH)
        return compress_patiently(best) if self._is_patient and much else compress(best, self._level)


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
