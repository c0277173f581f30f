"""(12) Adaptive planes: bytes coded bit by bit with probabilities that follow what came before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from freebits_codecs.errors import CorruptContainer

MAX_NUMEL = 1 << 15


class AdaptiveBudget:
    """(7) How many elements the adaptive planes of a chunk may still have."""

    def __init__(self, numel: int = MAX_NUMEL) -> None:
        self._left = numel

    def take(self, numel: int) -> None:
        """Raises CorruptContainer when there are not so many."""
        if numel > self._left:
            raise CorruptContainer("elements of adaptive planes", found=numel, expected=f"at most {self._left}")
        self._left -= numel


def decode_adaptive_plane(payload: bytes, numel: int) -> NDArray[np.uint8]:
    """(12.1) uint8[numel]; raises CorruptContainer."""
    bits = _Bits(payload)
    fast, slow = [1 << 15] * 256, [1 << 15] * 256
    plane = np.empty(numel, np.uint8)
    for i in range(numel):
        node = 1
        while node < 256:
            bit = bits.next((fast[node] + slow[node]) // 2)
            fast[node] += (65536 - fast[node]) // 16 if bit else -(fast[node] // 16)
            slow[node] += (65536 - slow[node]) // 128 if bit else -(slow[node] // 128)
            node = 2 * node + bit
        plane[i] = node - 256
    if bits.used < len(payload):
        raise CorruptContainer("bytes of an adaptive plane", found=len(payload), expected=f"at most {bits.used}")
    return plane


class _Bits:
    """(12.2) Bits out of a stream, behind whose end there are zeros. `used` counts bytes taken, zeros included."""

    def __init__(self, stream: bytes) -> None:
        self._stream = stream
        self.used = 0
        self._low, self._high, self._window = 0, 0xFFFFFFFF, 0
        for _ in range(4):
            self._take_byte()

    def next(self, probability: int) -> int:
        """The next bit, 1 with a `probability` in 1/65536."""
        split = self._low + ((self._high - self._low) * probability >> 16)
        bit = self._window <= split
        if bit:
            self._high = split
        else:
            self._low = split + 1
        while self._low >> 24 == self._high >> 24:
            self._low = self._low << 8 & 0xFFFFFFFF
            self._high = self._high << 8 & 0xFFFFFFFF | 0xFF
            self._take_byte()
        return int(bit)

    def _take_byte(self) -> None:
        byte = self._stream[self.used] if self.used < len(self._stream) else 0
        self._window = self._window << 8 & 0xFFFFFFFF | byte
        self.used += 1
