"""(11.3) The bit stack, with Python's integers, and the arrays that lie on it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from freebits_codecs.errors import CorruptContainer

PRECISION = 24
HALF_NBITS = 16
"""Bits that one uniform symbol may have: wider values are two arrays."""


class BitStack:
    """A state of 64 bits over words of 32 bits."""

    def __init__(self, stored: Sequence[int] = ()) -> None:
        if stored and stored[-1] == 0:
            raise CorruptContainer("end of a bit stack", found=0, expected="a word that is not 0")
        self._words = [int(word) for word in stored]
        self._s = 0
        for _ in range(2):
            if self._words:
                self._s = self._s << 32 | self._words.pop()

    @property
    def is_empty(self) -> bool:
        return self._s == 0 and not self._words

    def _push(self, low: int, freq: int) -> None:
        if self._s >> 40 >= freq:
            self._words.append(self._s & 0xFFFF_FFFF)
            self._s >>= 32
        self._s = (self._s // freq << PRECISION) + low + self._s % freq

    def _pop(self, low: int, freq: int) -> None:
        q = self._s & (1 << PRECISION) - 1
        self._s = freq * (self._s >> PRECISION) + q - low
        if self._s < 1 << 32 and self._words:
            self._s = self._s << 32 | self._words.pop()

    def push_values(self, values: Sequence[int], nbits: int) -> None:
        """Push an array of values of `nbits` bits."""
        if nbits > HALF_NBITS:
            self.push_values([value >> HALF_NBITS for value in values], nbits - HALF_NBITS)
            self.push_values([value & 0xFFFF for value in values], HALF_NBITS)
            return
        freq = 1 << PRECISION - nbits
        for value in reversed(values):
            self._push(value * freq, freq)

    def pop_values(self, count: int, nbits: int) -> list[int]:
        """Pop an array of values of `nbits` bits."""
        if nbits > HALF_NBITS:
            lows = self.pop_values(count, HALF_NBITS)
            highs = self.pop_values(count, nbits - HALF_NBITS)
            return [high << HALF_NBITS | low for high, low in zip(highs, lows, strict=True)]
        freq = 1 << PRECISION - nbits
        values = []
        for _ in range(count):
            values.append((self._s & (1 << PRECISION) - 1) // freq)
            self._pop(values[-1] * freq, freq)
        return values

    def pop_symbols(self, count: int, weights: Sequence[int]) -> list[int]:
        """Pop an array of symbols, numbers of `weights`."""
        if len(weights) == 1:
            return [0] * count
        room = (1 << PRECISION) - len(weights)
        lows = [before * room // (1 << 16) + k for k, before in enumerate(accumulate(weights, initial=0))]
        symbols = []
        for _ in range(count):
            k = bisect_right(lows, self._s & (1 << PRECISION) - 1) - 1
            self._pop(lows[k], lows[k + 1] - lows[k])
            symbols.append(k)
        return symbols
