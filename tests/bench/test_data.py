"""The cast that throughput is measured on is the one that released weights went through."""

from __future__ import annotations

import numpy as np
from data import bf16_words

RNG = np.random.default_rng(5)


def test_rounds_to_nearest_even() -> None:
    """Halfway cases go to the even neighbour, others to the nearer one, and the sign of zero stays."""
    bits = np.array([0x3F800000, 0x3F808000, 0x3F808001, 0x3F818000, 0x80000000, 0x7F7FFFFF], np.uint32)
    assert bf16_words(bits.view(np.float32)).tolist() == [0x3F80, 0x3F80, 0x3F81, 0x3F82, 0x8000, 0x7F80]


def test_nan_stays_nan() -> None:
    """A NaN whose payload sits in the dropped bits does not turn into an infinity."""
    words = bf16_words(np.array([0x7F800001, 0xFF800001], np.uint32).view(np.float32))
    assert words.tolist() == [0x7FC0, 0xFFC0]


def test_is_the_nearest_of_all() -> None:
    """No other bf16 value lies nearer, over random bit patterns."""
    floats = RNG.integers(0x10000, 0x7F000000, 10_000, dtype=np.uint32).view(np.float32)
    words = bf16_words(floats).astype(np.int64)
    low, near, high = (
        np.abs(((words + step) << 16).astype(np.uint32).view(np.float32) - floats) for step in (-1, 0, 1)
    )
    assert (near <= np.minimum(low, high)).all()
