"""Decide from the bytes alone whether unknown content is floating-point data.

Order-0 costs are estimated on a sample. Bytes dealt into 2, 4 or 8 lanes cost least at the width of the
elements; the lane of least entropy holds the exponent's high bits and so gives the phase. The cost of
[exponent | other bits], for the float types of that width, must then beat plain bytes, and zstd on the
same sample, by `MIN_GAIN`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from freebits_codecs.dtype import DTYPES

MAX_WINDOW_NBYTES = 1 << 20
MAX_SAMPLE_NBYTES = 32 << 10
MIN_SAMPLE_NBYTES = 2 << 10
"""Fewer bytes than this say nothing certain."""

MIN_GAIN = 0.02
"""Part of the cost of the best alternative that a float reading must save."""

TIE = 0.01
"""Costs this close are equal: then the narrower width wins, and F16 before BF16, which fits F16 data too."""

MAX_EXPONENT_LANE_BITS = 7.0
"""Entropy per byte of the lane with the exponent's high bits; above it there is no float."""

MIN_EXPONENT_LANE_BITS = 0.01
"""Below it a lane is constant, such as the low bytes of floats that were widened."""

MAX_EXPONENT_BITS = {"F16": 4.0, "BF16": 6.0, "F32": 6.0, "F64": 6.5}
"""Entropy of the exponents of any weights; integers read as floats have flatter ones."""

_MAX_PHASES = 2
_PIECES = 4
_LANES = 8
_ZSTD_LEVEL = 1
_FLOATS = {2: ("F16", "BF16"), 4: ("F32",), 8: ("F64",)}


@dataclass(frozen=True, slots=True)
class Guess:
    """Elements of `dtype` start at every offset of the window that is `phase` modulo the itemsize."""

    dtype: str
    phase: int


def sniff(window: bytes | bytearray | memoryview | NDArray[np.uint8]) -> Guess | None:
    """The float type that up to 1 MiB of unknown bytes hold; None unless it clearly saves space.

    >>> import numpy as np
    >>> weights = np.random.default_rng(0).normal(0, 0.02, 50_000).astype("<f4").tobytes()
    >>> sniff(b"\\0" + weights)
    Guess(dtype='F32', phase=1)
    >>> sniff(bytes(1000000)) is None
    True
    """
    sample = _sample(np.frombuffer(window, np.uint8))
    if sample.nbytes < MIN_SAMPLE_NBYTES:
        return None
    lanes = _lane_counts(sample)
    guess, bits = _best_reading(sample, lanes)
    plain_bits = float(_bits(lanes.sum(axis=0)))
    if bits > (1 - MIN_GAIN) * plain_bits or bits > (1 - MIN_GAIN) * _zstd_bits(sample):
        return None
    return guess


def _sample(window: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A few pieces of the window, each starting at a multiple of 8 and of the same multiple of 8 bytes."""
    window = window[:MAX_WINDOW_NBYTES]
    if window.nbytes <= MAX_SAMPLE_NBYTES:
        return window[: window.nbytes - window.nbytes % _LANES]
    piece = MAX_SAMPLE_NBYTES // _PIECES
    middles = (np.arange(_PIECES) + 0.5) * (window.nbytes / _PIECES)  # clear of a header at the start
    starts = (middles - piece / 2).astype(np.intp) // _LANES * _LANES
    return np.concatenate([window[start : start + piece] for start in starts])


def _lane_counts(sample: NDArray[np.uint8]) -> NDArray[np.intp]:
    """intp[8, 256]: how often each byte value occurs at each offset modulo 8."""
    lane_starts = np.arange(_LANES, dtype=np.intp) * 256
    symbols = sample.reshape(-1, _LANES) + lane_starts
    return np.bincount(symbols.ravel(), minlength=_LANES * 256).reshape(-1, 256)


def _best_reading(sample: NDArray[np.uint8], lanes: NDArray[np.intp]) -> tuple[Guess | None, float]:
    """The cheapest float reading and its estimated bits; infinite bits where no lane looks like exponents."""
    lane_bits = {width: _bits(lanes.reshape(-1, width, 256).sum(axis=0)) for width in _FLOATS}
    cheapest = min(float(bits.sum()) for bits in lane_bits.values())
    width = next(width for width, bits in lane_bits.items() if bits.sum() <= (1 + TIE) * cheapest)
    best, best_bits = None, np.inf
    for phase in _phases(lane_bits[width] / (sample.nbytes / width)):
        for name in _FLOATS[width]:
            bits = _float_bits(sample, name, phase)
            if bits < (1 - TIE) * best_bits:
                best, best_bits = Guess(name, phase), bits
    return best, best_bits


def _phases(bits_per_byte: NDArray[np.float64]) -> list[int]:
    """Where elements may start, if their last byte is a lane of low but not zero entropy; likeliest first."""
    likely = [
        int(lane)
        for lane in np.argsort(bits_per_byte)
        if MIN_EXPONENT_LANE_BITS < bits_per_byte[lane] < MAX_EXPONENT_LANE_BITS
    ]
    return [(lane + 1) % len(bits_per_byte) for lane in likely[:_MAX_PHASES]]


def _float_bits(sample: NDArray[np.uint8], name: str, phase: int) -> float:
    """Bits of the sample as elements of one type: exponents, sign with the top mantissa bits, lower bytes.

    Infinite where the exponents are flatter than those of any weights.
    """
    dtype = DTYPES[name]
    body = sample[phase : phase + (sample.nbytes - phase) // dtype.itemsize * dtype.itemsize]
    elements = body.view(f"<u{dtype.itemsize}")
    low_nbytes = dtype.mantissa_bits // 8
    top_bits = dtype.mantissa_bits - 8 * low_nbytes
    exponents = (elements >> dtype.mantissa_bits) & ((1 << dtype.exponent_bits) - 1)
    top = (elements >> (8 * low_nbytes)) & ((1 << top_bits) - 1)
    sign = elements >> (8 * dtype.itemsize - 1)
    exponent_bits = _plane_bits(exponents)
    if exponent_bits > MAX_EXPONENT_BITS[name] * elements.size:
        return np.inf
    columns = body.reshape(-1, dtype.itemsize)
    rest = [top | (sign << top_bits), *(columns[:, lane] for lane in range(low_nbytes))]
    bits = exponent_bits + sum(_plane_bits(plane) for plane in rest)
    return bits * sample.nbytes / body.nbytes


def _plane_bits(plane: NDArray[Any]) -> float:
    return float(_bits(np.bincount(plane.astype(np.intp))))


def _bits(counts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Order-0 bits of symbols with these counts along the last axis, corrected for the small sample.

    The correction is Miller's and Madow's; without it the reading with the most lanes looks cheapest.
    """
    logs = np.log2(np.maximum(counts, 1))
    total = counts.sum(axis=-1)
    symbols = (counts > 0).sum(axis=-1)
    bits = total * np.log2(np.maximum(total, 1)) - (counts * logs).sum(axis=-1)
    return np.asarray(bits + np.maximum(symbols - 1, 0) / (2 * np.log(2)))


def _zstd_bits(sample: NDArray[np.uint8]) -> float:
    return 8.0 * len(zstandard.compress(sample.data, _ZSTD_LEVEL))
