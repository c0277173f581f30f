"""What floats cost on the bit stack, and which numbers the entries of a popped matrix are.

Two priors. `EntropyPrior` codes the exponents of a tensor by how often they occur and pops matrix entries as
fixed-point numbers: what is saved comes on top of exponent coding, and this is what files hold. `WordPrior` is the
paper's: every float costs its width, and the floats that are popped are the weights that were pushed before; its stack
is an array of floats, which anything may compress afterwards.

A matrix entry is known by its *ordinal*, an integer; neighbouring numbers have neighbouring ordinals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from freebits_codecs.errors import CorruptContainer
from freebits_codecs.symmetry.bit_stack import BitStack, check_weights, make_weights
from freebits_codecs.symmetry.floats import Array, FloatType, Words

Ordinals = NDArray[np.int64]
ENTRY_EXTRA_BITS = 4
"""Bits of a fixed-point entry beyond the mantissa of the weights. The rotation is known to a few units of the weights'
rounding; finer entries would be popped and paid back as corrections."""


WORD_NBITS = 16
"""Of the floats on a stack of words."""

BEYOND = 2.0**40
"""A number that no entry has, and that stays so when it is corrected."""


class Prior(Protocol):
    """How the floats of one dtype, and the entries of matrices, lie on a stack."""

    name: str
    dtype: FloatType

    def push(self, stack: BitStack, words: Words) -> dict[str, Any]:
        """Push a tensor; the table that `pop` needs, JSON-able."""
        ...

    def pop(self, stack: BitStack, count: int, table: dict[str, Any]) -> Words:
        """Pop the `count` words that were pushed with `table`. Raises CorruptContainer."""
        ...

    def entry_bits(self) -> int:
        """Bits that popping an entry takes at most."""
        ...

    def pop_entries(self, stack: BitStack, count: int) -> Ordinals:
        """Pop entries of a matrix."""
        ...

    def push_entries(self, stack: BitStack, ordinals: Ordinals) -> None:
        """Undo `pop_entries`. Raises CorruptContainer for ordinals that cannot be popped."""
        ...

    def entry_values(self, ordinals: Ordinals) -> Array:
        """The numbers that ordinals stand for."""
        ...

    def nearest_entries(self, values: Array) -> Ordinals:
        """Ordinals of the numbers next to `values`; grows with them."""
        ...


class EntropyPrior:
    """Exponents by frequency, signs and mantissas and matrix entries as plain bits."""

    name = "entropy"

    def __init__(self, dtype: FloatType) -> None:
        self.dtype = dtype
        self._entry_bits = dtype.mantissa_bits + ENTRY_EXTRA_BITS
        self._half = 1 << (self._entry_bits - 1)

    def push(self, stack: BitStack, words: Words) -> dict[str, Any]:
        kind = self.dtype
        exponents, rest = _split(words, kind)
        counts = np.bincount(exponents, minlength=1)
        first = int(np.flatnonzero(counts)[0]) if words.size else 0
        weights = make_weights(counts[first:])
        stack.push_bits(rest, kind.width - kind.exponent_bits)
        stack.push_from(exponents - np.int32(first), weights)
        return {"first": first, "weights": weights}

    def pop(self, stack: BitStack, count: int, table: dict[str, Any]) -> Words:
        kind = self.dtype
        first, weights = _checked_table(table, kind)
        exponents = stack.pop_from(count, weights).astype(np.uint32) + np.uint32(first)
        return _joined(exponents, stack.pop_bits(count, kind.width - kind.exponent_bits), kind)

    def entry_bits(self) -> int:
        return self._entry_bits

    def pop_entries(self, stack: BitStack, count: int) -> Ordinals:
        return stack.pop_bits(count, self._entry_bits).astype(np.int64) - self._half

    def push_entries(self, stack: BitStack, ordinals: Ordinals) -> None:
        _check_range(ordinals, self._half)
        stack.push_bits((ordinals + self._half).astype(np.uint32), self._entry_bits)

    def entry_values(self, ordinals: Ordinals) -> Array:
        return ordinals.astype(np.float64)

    def nearest_entries(self, values: Array) -> Ordinals:
        return np.clip(np.rint(values), -BEYOND, BEYOND).astype(np.int64)


class WordPrior:
    """Every float costs its width; matrix entries are floats."""

    name = "words"

    def __init__(self, dtype: FloatType) -> None:
        if dtype.width != WORD_NBITS:
            raise ValueError(f"words of {dtype.name} have {dtype.width} bits, expected 16; use the entropy prior")
        self.dtype = dtype
        self._sign = 1 << (dtype.width - 1)

    def push(self, stack: BitStack, words: Words) -> dict[str, Any]:
        stack.push_bits(words.astype(np.uint32), self.dtype.width)
        return {}

    def pop(self, stack: BitStack, count: int, table: dict[str, Any]) -> Words:
        return stack.pop_bits(count, self.dtype.width).astype(self.dtype.word)

    def entry_bits(self) -> int:
        return self.dtype.width

    def pop_entries(self, stack: BitStack, count: int) -> Ordinals:
        words = stack.pop_bits(count, self.dtype.width).astype(np.int64)
        return np.where(words >= self._sign, -1 - (words - self._sign), words)

    def push_entries(self, stack: BitStack, ordinals: Ordinals) -> None:
        _check_range(ordinals, self._sign)
        stack.push_bits(self._words(ordinals).astype(np.uint32), self.dtype.width)

    def entry_values(self, ordinals: Ordinals) -> Array:
        return self.dtype.values(self._words(ordinals).astype(self.dtype.word))

    def nearest_entries(self, values: Array) -> Ordinals:
        words = self.dtype.rounded(values).astype(np.int64)
        return np.where(words >= self._sign, -1 - (words - self._sign), words)

    def _words(self, ordinals: Ordinals) -> Ordinals:
        """-0.0 and 0.0 are neighbours: -1 and 0."""
        return np.where(ordinals < 0, self._sign - 1 - ordinals, ordinals)


PRIORS: dict[str, Callable[[FloatType], Prior]] = {EntropyPrior.name: EntropyPrior, WordPrior.name: WordPrior}


def _split(words: Words, kind: FloatType) -> tuple[NDArray[np.int32], NDArray[np.uint32]]:
    """Exponents; signs above the mantissas."""
    wide = words.astype(np.uint32)
    mantissa = np.uint32((1 << kind.mantissa_bits) - 1)
    exponents = (wide >> np.uint32(kind.mantissa_bits)) & np.uint32((1 << kind.exponent_bits) - 1)
    signs = wide >> np.uint32(kind.width - 1)
    return exponents.astype(np.int32), (signs << np.uint32(kind.mantissa_bits)) | (wide & mantissa)


def _joined(exponents: NDArray[np.uint32], rest: NDArray[np.uint32], kind: FloatType) -> Words:
    mantissa = np.uint32((1 << kind.mantissa_bits) - 1)
    signs = rest >> np.uint32(kind.mantissa_bits)
    words = (signs << np.uint32(kind.width - 1)) | (exponents << np.uint32(kind.mantissa_bits)) | (rest & mantissa)
    joined: Words = words.astype(kind.word)
    return joined


def _check_range(ordinals: Ordinals, half: int) -> None:
    if ordinals.size and not -half <= ordinals.min() <= ordinals.max() < half:
        raise CorruptContainer("entries of a turn", found=int(ordinals.min()), expected=f"-{half} to {half - 1}")


def _checked_table(table: dict[str, Any], kind: FloatType) -> tuple[int, list[int]]:
    first, limit = table.get("first"), 1 << kind.exponent_bits
    if type(first) is not int or not 0 <= first < limit:
        raise CorruptContainer("first exponent of a table", found=first, expected=f"0 to {limit - 1}")
    return first, check_weights(table.get("weights"), limit - first)
