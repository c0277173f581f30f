"""The least an order-0 coder of exponents can take: every other bit of a float is stored as it is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from extents import Extent

EXPONENT = {"BF16": (np.uint16, 7, 0xFF), "F16": (np.uint16, 10, 0x1F), "F32": (np.uint32, 23, 0xFF)}


def exponent_bits(words: memoryview, dtype: str) -> tuple[int, float]:
    """(number of items, entropy of their exponent field in bits per item)."""
    view, shift, mask = EXPONENT[dtype]
    exponents = (np.frombuffer(words, view) >> view(shift)) & view(mask)
    if exponents.size == 0:
        return 0, 0.0
    counts = np.bincount(exponents.astype(np.uint8), minlength=1)
    shares = counts[counts > 0] / exponents.size
    return exponents.size, float(-(shares * np.log2(shares)).sum())


def order0_nbytes(data: memoryview, extents: Sequence[Extent], rest_nbytes: int | None = None) -> int:
    """Bytes with each float tensor's exponents at their own entropy.

    `rest_nbytes` is what all bytes outside float tensors take; None counts them as they are.
    """
    floats = [extent for extent in extents if extent.dtype in EXPONENT]
    total = 0.0
    for dtype, start, stop in floats:
        numel, entropy = exponent_bits(data[start:stop], dtype)
        _, _, mask = EXPONENT[dtype]
        total += (stop - start) - numel * (mask.bit_length() - entropy) / 8
    if rest_nbytes is None:
        rest_nbytes = len(data) - sum(extent.stop - extent.start for extent in floats)
    return math.ceil(total) + rest_nbytes
