"""A stack of bits: constriction's asymmetric numeral systems, where what is pushed last is popped first.

Pushing a symbol costs what its model says it costs; popping one from random bits gives that many back and yields a
symbol distributed as the model says. Bits-back coding pushes and pops on one stack.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freebits_codecs.errors import CorruptContainer, MissingLibrary

Symbols = NDArray[np.int32]
WEIGHT_SUM = 1 << 16
"""What the weights of an alphabet must add up to, so that constriction's float64 arithmetic on them is exact."""

_HALF_BITS = 16


class BitStack:
    """Symbols are int32 arrays; `pop` undoes the `push` of the same model and length, in reverse order.

    Raises MissingLibrary when constriction is not installed.
    """

    def __init__(self, words: NDArray[np.uint32] | None = None) -> None:
        if importlib.util.find_spec("constriction") is None:
            raise MissingLibrary("constriction", "bits-back coding", "symmetry")
        from constriction import stream  # noqa: PLC0415 - only bits-back needs it

        self._models = stream.model
        try:
            self._coder = stream.stack.AnsCoder(None if words is None else np.ascontiguousarray(words, np.uint32))
        except ValueError as error:
            raise CorruptContainer(
                "bit stack", found=str(error), expected="words that a bit stack ends with"
            ) from error

    @property
    def nbits(self) -> int:
        """Bits on the stack."""
        return int(self._coder.num_valid_bits())

    def words(self) -> NDArray[np.uint32]:
        """The stack as words of 32 bits, for `BitStack(words)`."""
        words: NDArray[np.uint32] = self._coder.get_compressed()
        return words

    def expect_end(self, what: str) -> None:
        """Raises CorruptContainer when anything is left."""
        if self.nbits:
            raise CorruptContainer(f"end of a {what}", found=f"{self.nbits} bits more", expected="none")

    def push_uniform(self, symbols: Symbols, size: int) -> None:
        """Push symbols of [0, size); each costs log2(size) bits."""
        self._coder.encode_reverse(symbols, self._models.Uniform(size))

    def pop_uniform(self, count: int, size: int) -> Symbols:
        """Pop `count` symbols of [0, size)."""
        return self._popped(self._coder.decode(self._models.Uniform(size), count))

    def push_from(self, symbols: Symbols, weights: Sequence[int]) -> None:
        """Push symbols that are indices of `weights`, which sum up to WEIGHT_SUM."""
        if len(weights) > 1:
            self._coder.encode_reverse(symbols, self._categorical(weights))

    def pop_from(self, count: int, weights: Sequence[int]) -> Symbols:
        """Pop `count` indices of `weights`."""
        if len(weights) == 1:
            return np.zeros(count, np.int32)
        return self._popped(self._coder.decode(self._categorical(weights), count))

    def push_each(self, symbols: Symbols, sizes: Symbols) -> None:
        """Push symbol i of [0, sizes[i]), the last one first; sizes are 2 or more."""
        self._coder.encode_reverse(symbols, self._models.Uniform(), sizes)

    def pop_each(self, sizes: Symbols) -> Symbols:
        """Pop a symbol of [0, sizes[i]) for every i in order."""
        return self._popped(self._coder.decode(self._models.Uniform(), sizes))

    def push_bits(self, values: NDArray[np.uint32], bits: int) -> None:
        """Push the low `bits` (1 to 32) bits of every value, at exactly so many bits each."""
        low_bits = min(bits, _HALF_BITS)
        if bits > low_bits:
            self._push_field(values >> np.uint32(low_bits), bits - low_bits)
        self._push_field(values, low_bits)

    def pop_bits(self, count: int, bits: int) -> NDArray[np.uint32]:
        """Pop `count` values of `bits` bits."""
        low_bits = min(bits, _HALF_BITS)
        values = self.pop_uniform(count, 1 << low_bits).astype(np.uint32)
        if bits > low_bits:
            values |= self.pop_uniform(count, 1 << (bits - low_bits)).astype(np.uint32) << np.uint32(low_bits)
        return values

    def _push_field(self, values: NDArray[np.uint32], bits: int) -> None:
        self.push_uniform((values & np.uint32((1 << bits) - 1)).astype(np.int32), 1 << bits)

    def _categorical(self, weights: Sequence[int]) -> Any:
        return self._models.Categorical(np.asarray(weights, np.float64) / WEIGHT_SUM, perfect=False)

    @staticmethod
    def _popped(symbols: Any) -> Symbols:
        popped: Symbols = np.asarray(symbols, np.int32)
        return popped


def make_weights(counts: NDArray[np.int64]) -> list[int]:
    """Integers in proportion to `counts` that sum up to WEIGHT_SUM; positive where the count is."""
    total = int(counts.sum())
    if not total:
        return [WEIGHT_SUM] + [0] * (len(counts) - 1)
    weights = np.where(counts > 0, np.maximum(counts * WEIGHT_SUM // total, 1), 0)
    weights[int(np.argmax(weights))] += WEIGHT_SUM - int(weights.sum())
    return [int(weight) for weight in weights]


def check_weights(weights: object, limit: int) -> list[int]:
    """`weights` as they were stored: at most `limit` of them. Raises CorruptContainer."""
    is_sound = (
        isinstance(weights, list)
        and 1 <= len(weights) <= limit
        and all(type(weight) is int and weight >= 0 for weight in weights)
        and sum(weights) == WEIGHT_SUM
    )
    if not is_sound:
        raise CorruptContainer(
            "weights of an alphabet", found=str(weights)[:80], expected=f"at most {limit}, sum {WEIGHT_SUM}"
        )
    assert isinstance(weights, list)
    return weights
