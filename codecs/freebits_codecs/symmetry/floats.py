"""Stored floats as integers and as float64: F16, BF16 and F32.

A *word* is the bit pattern of one float, an unsigned integer of its width. Arithmetic is done in float64; `rounded` is
the only way back, once per stored value, to the nearest and half to even. It gives the same words on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freebits_codecs.dtype import DTYPES

Array = NDArray[np.float64]
Words = NDArray[np.unsignedinteger]
SUPPORTED = ("F16", "BF16", "F32")


@dataclass(frozen=True, slots=True)
class FloatType:
    """How the floats of one dtype look: `width` bits, of them `mantissa_bits` at the end."""

    name: str
    width: int
    exponent_bits: int
    mantissa_bits: int

    @property
    def word(self) -> np.dtype[np.unsignedinteger]:
        """The numpy type of a word."""
        return np.dtype(f"<u{self.width // 8}")

    @property
    def unit(self) -> float:
        """Half the distance from 1 to the next float: the largest relative error of rounding."""
        return 2.0 ** -(self.mantissa_bits + 1)

    @property
    def precise(self) -> np.dtype[np.floating]:
        """The numpy type for what must be more exact than these floats."""
        return np.dtype("<f4" if self.width == 16 else "<f8")

    def values(self, words: Words) -> Array:
        """float64 of the same shape; exact, for every float there is."""
        with np.errstate(invalid="ignore"):  # of signalling NaNs
            if self.name == "BF16":
                wide: Array = (words.astype("<u4") << np.uint32(16)).view("<f4").astype(np.float64)
                return wide
            values: Array = words.view(f"<f{self.width // 8}").astype(np.float64)
            return values

    def rounded(self, values: Array) -> Words:
        """Words of the same shape; what is too large becomes infinite, as in any conversion."""
        with np.errstate(over="ignore"):
            if self.name == "BF16":
                bits = values.astype("<f4").view("<u4")
                odd = (bits >> np.uint32(16)) & np.uint32(1)
                nearest: Words = ((bits + (np.uint32(0x7FFF) + odd)) >> np.uint32(16)).astype("<u2")
                return nearest
            narrow: Words = values.astype(f"<f{self.width // 8}").view(self.word)
            return narrow

    def is_finite(self, words: Words) -> bool:
        """Whether there is no NaN and no infinity among them."""
        all_ones = (1 << self.exponent_bits) - 1
        exponents = (words >> self.word.type(self.mantissa_bits)) & self.word.type(all_ones)
        return bool((exponents != all_ones).all())

    def spacing(self, values: Array) -> Array:
        """Distance between neighbouring floats at each value; that of subnormals below the smallest normal one."""
        bias = (1 << (self.exponent_bits - 1)) - 1
        _, exponents = np.frexp(np.abs(values))
        spacing: Array = np.ldexp(np.float64(1.0), np.maximum(exponents - 1, 1 - bias) - self.mantissa_bits)
        return spacing


FLOAT_TYPES: dict[str, FloatType] = {
    name: FloatType(name, 8 * DTYPES[name].itemsize, DTYPES[name].exponent_bits, DTYPES[name].mantissa_bits)
    for name in SUPPORTED
}
