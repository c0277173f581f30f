"""Turn the tensors of a slot, round each once, write it, and measure what the rounding did."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from freebits_codecs.errors import NotSymmetric
from freebits_codecs.symmetry.algebra import Algebra
from freebits_codecs.symmetry.checkpoint import Checkpoint
from freebits_codecs.symmetry.floats import Array, FloatType, Words
from freebits_codecs.symmetry.safetensors_file import SafetensorsFile
from freebits_codecs.symmetry.structure import Slot

BLOCK_ROWS = 4096
"""Rows of a tall tensor that are turned at a time: embeddings in float64 are gigabytes."""


@dataclass(frozen=True, slots=True)
class RoundingError:
    """Of a stored tensor against the exact one, over the rms of the exact one."""

    maximum: float
    rms: float


@dataclass(slots=True)
class Turner:
    """Writes tensors of `source` into `target`, turned or as they are; `errors` by name of those that were turned."""

    source: Checkpoint
    target: SafetensorsFile
    algebra: Algebra
    errors: dict[str, RoundingError] = field(default_factory=dict)

    def keep(self, name: str) -> None:
        """As it is."""
        self.target.write(name, self.source.raw(name))
        self.errors.pop(name, None)

    def turn_members(self, slot: Slot, rotation: Array | None) -> None:
        """All tensors that lie in the slot alone; `rotation` (d, d), None for the identity."""
        if rotation is None:
            for name in slot.members:
                self.keep(name)
            return
        for name in slot.columns:
            self.turn(name, right=rotation)
        for name in slot.writes:
            self.turn(name, left=rotation)
        for name in slot.biases:
            self.store(name, self.algebra.product(self.source.values(name)[None, :], rotation)[0])

    def turn(self, name: str, left: Array | None = None, right: Array | None = None) -> None:
        """`left.T @ tensor @ right`, rounded and written; None is the identity."""
        if left is None and right is None:
            self.keep(name)
        elif left is None:
            self._turn_rows(name, right)
        else:
            self.store(name, self.turned(name, left, right))

    def turned(self, name: str, left: Array | None, right: Array | None) -> Array:
        """`left.T @ tensor @ right` in float64."""
        values = self.source.values(name)
        if left is not None:
            values = self.algebra.product(np.ascontiguousarray(left.T), values)
        return values if right is None else self.algebra.product(values, right)

    def store(self, name: str, exact: Array) -> Words:
        """Round a tensor to its stored dtype and write it; the words.

        Raises NotSymmetric when a value leaves the dtype's range.
        """
        words = self._rounded(name, exact)
        self.target.write(name, words.tobytes())
        self.note(name, exact, words)
        return words

    def stored(self, name: str) -> Words:
        """What was written, in its shape."""
        entry = self.target.entries[name]
        kind = self.source.float_type(name)
        return np.frombuffer(self.target.read(name), kind.word).reshape(entry.shape)

    def note(self, name: str, exact: Array, words: Words) -> None:
        """Measure what storing `words` for `exact` did."""
        totals = _Totals()
        totals.add(exact, self.source.float_type(name).values(words))
        self.errors[name] = totals.error()

    def _turn_rows(self, name: str, right: Array | None) -> None:
        """A block of rows at a time."""
        assert right is not None
        values, totals, pieces = self.source.values(name), _Totals(), []
        for start in range(0, len(values), BLOCK_ROWS):
            exact = self.algebra.product(values[start : start + BLOCK_ROWS], right)
            words = self._rounded(name, exact)
            totals.add(exact, self.source.float_type(name).values(words))
            pieces.append(words.tobytes())
        self.target.write(name, b"".join(pieces))
        self.errors[name] = totals.error()

    def _rounded(self, name: str, exact: Array) -> Words:
        kind: FloatType = self.source.float_type(name)
        words = kind.rounded(exact)
        if not kind.is_finite(words):
            raise NotSymmetric(
                f"{name} turned has a value of {np.abs(exact).max():.3g}, more than {kind.name} can hold",
                "convert the checkpoint to BF16 first",
            )
        return words


@dataclass(slots=True)
class _Totals:
    count: int = 0
    squares: float = 0.0
    error_squares: float = 0.0
    maximum: float = 0.0

    def add(self, exact: Array, stored: Array) -> None:
        error = np.abs(stored - exact)
        self.count += exact.size
        self.squares += float(np.square(exact).sum())
        self.error_squares += float(np.square(error).sum())
        self.maximum = max(self.maximum, float(error.max(initial=0.0)))

    def error(self) -> RoundingError:
        rms = (self.squares / self.count) ** 0.5 if self.count else 0.0
        if not rms:
            return RoundingError(self.maximum, self.maximum)
        return RoundingError(self.maximum / rms, (self.error_squares / self.count) ** 0.5 / rms)
