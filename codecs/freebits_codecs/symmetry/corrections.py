"""What the decoder's estimate of a matrix entry lacks: small differences, and exceptions in full.

Estimates are computed in floating point, so one that lies next to the border between two ordinals may fall on either
side on another machine. Those entries, like the few with large differences, are stored as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freebits_codecs.errors import CorruptContainer
from freebits_codecs.symmetry.bit_stack import BitStack, check_weights, make_weights
from freebits_codecs.symmetry.floats import Array
from freebits_codecs.symmetry.priors import Ordinals, Prior

MAX_DIFFERENCE = 1023
"""Larger differences are exceptions; also bounds the table."""

COVERED = 0.9995
"""Share of the entries whose differences the table should cover: a rarer one costs less as an exception."""


@dataclass(frozen=True, slots=True)
class Corrections:
    """Differences within [-`reach`, `reach`] coded by `weights`; exceptions by position, ascending."""

    reach: int
    weights: list[int]
    stream: NDArray[np.uint32]
    positions: NDArray[np.uint32]
    ordinals: NDArray[np.int32]

    @property
    def nbits(self) -> int:
        """Bits they take where they are stored."""
        return 32 * (self.stream.size + self.positions.size + self.ordinals.size) + 16 * len(self.weights)


def make_corrections(prior: Prior, exact: Ordinals, estimates: Array, guard: float) -> Corrections:
    """What turns float64 `estimates`, known to `guard`, into the ordinals `exact`; both of shape (n)."""
    difference = exact - prior.nearest_entries(estimates)
    uncertain = prior.nearest_entries(estimates - guard) != prior.nearest_entries(estimates + guard)
    reach = min(int(np.quantile(np.abs(difference), COVERED, method="higher")), MAX_DIFFERENCE) if exact.size else 0
    is_exception = uncertain | (np.abs(difference) > reach)
    symbols = np.where(is_exception, 0, difference + reach).astype(np.int32)
    symbols[is_exception] = reach
    counts = np.bincount(symbols, minlength=2 * reach + 1)
    weights = make_weights(counts)
    stack = BitStack()
    stack.push_from(symbols, weights)
    positions = np.flatnonzero(is_exception)
    return Corrections(reach, weights, stack.words(), positions.astype(np.uint32), exact[positions].astype(np.int32))


def apply_corrections(prior: Prior, corrections: Corrections, estimates: Array) -> Ordinals:
    """The exact ordinals, (n). Raises CorruptContainer."""
    _check(corrections, estimates.size)
    stack = BitStack(corrections.stream)
    symbols = stack.pop_from(estimates.size, corrections.weights)
    stack.expect_end("stream of corrections")
    exact = prior.nearest_entries(estimates) + (symbols - np.int64(corrections.reach))
    exact[corrections.positions] = corrections.ordinals
    return exact


def _check(corrections: Corrections, count: int) -> None:
    reach = corrections.reach
    if not 0 <= reach <= MAX_DIFFERENCE or len(corrections.weights) != 2 * reach + 1:
        raise CorruptContainer(
            "reach of corrections", found=reach, expected=f"that of {len(corrections.weights)} weights"
        )
    check_weights(corrections.weights, 2 * MAX_DIFFERENCE + 1)
    positions = corrections.positions.astype(np.int64)
    if positions.size != corrections.ordinals.size or (
        positions.size and (positions[-1] >= count or (np.diff(positions) <= 0).any())
    ):
        raise CorruptContainer("positions of exceptions", found="out of order", expected=f"ascending, below {count}")
