"""Bits that come back from the order of hidden units and heads, which costs nothing at all in exactness."""

from __future__ import annotations

import time

import numpy as np
from markdown_table import markdown

from freebits_codecs.symmetry.bit_stack import BitStack
from freebits_codecs.symmetry.permutations import Exchangeable, Share, order_bits, scramble, unscramble

SIZES = ((4096, 11008), (4096, 16384))


def orders_table() -> str:
    """MLPs of (D, F) in F16 with F hidden units."""
    heads = ["D x F", "bits back", "log2(F!)", "bytes saved", "of the two matrices, %", "encode, s", "decode, s"]
    rows = []
    for hidden, inner in SIZES:
        rng = np.random.default_rng(inner)
        tensors = {
            "up": rng.standard_normal((inner, hidden)).astype(np.float16),
            "down": rng.standard_normal((hidden, inner)).astype(np.float16),
        }
        units = Exchangeable(inner, (Share("up", 0, 1), Share("down", 1, 1)))
        stack = BitStack(rng.integers(1, 1 << 32, inner, dtype=np.uint32))
        words, bits = stack.words(), stack.nbits
        began = time.perf_counter()
        scrambled = scramble(stack, units, tensors)
        encoded = time.perf_counter()
        back = bits - stack.nbits
        unscramble(stack, units, scrambled)
        decoded = time.perf_counter()
        if not np.array_equal(stack.words(), words):
            raise AssertionError("the stack was not restored")
        share = 100 * back / 8 / (2 * 2 * hidden * inner)
        times = [f"{encoded - began:.1f}", f"{decoded - encoded:.1f}"]
        rows.append(
            [f"{hidden} x {inner}", str(back), f"{order_bits(inner):.0f}", str(back // 8), f"{share:.3f}", *times]
        )
    return markdown("Order of MLP hidden units", heads, rows)
