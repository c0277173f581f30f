"""Shapes of sliced language models, how many parameters they have, and weights of such shapes.

Weights are Gaussian with a power-law spectrum in a random orientation, shortcuts are corners of random orthogonal
matrices: what slicing makes of a trained model, one block at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SLICINGS = (20, 25, 30)
SPECTRUM_EXPONENT = 0.4
WEIGHT_RMS = 0.02


@dataclass(frozen=True, slots=True)
class Shape:
    """A model: `hidden` D, `layers` L, `inner` F, `vocabulary` V; OPT has biases and `positions`, Llama a gated MLP."""

    name: str
    hidden: int
    layers: int
    inner: int
    vocabulary: int
    positions: int = 0
    is_gated: bool = False

    def kept(self, slicing: int) -> int:
        """d: as many directions as SliceGPT keeps, a multiple of 8."""
        kept = self.hidden * (100 - slicing) // 100
        return kept - kept % 8

    def parameters(self) -> int:
        """Of the dense model, norms fused and head untied."""
        return self._count(self.hidden, self.hidden, shortcuts=False)

    def sliced_parameters(self, kept: int) -> int:
        """Of the sliced model with its shortcuts; the head is not sliced."""
        return self._count(kept, self.hidden, shortcuts=True)

    def _count(self, width: int, last: int, *, shortcuts: bool) -> int:
        has_bias = not self.is_gated
        total = (self.vocabulary + self.positions) * width + self.vocabulary * self.hidden + has_bias * self.vocabulary
        for layer in range(self.layers):
            out = last if layer == self.layers - 1 else width
            total += 4 * self.hidden * width + (2 if self.is_gated else 1) * self.inner * width + self.inner * out
            total += has_bias * (3 * self.hidden + width + self.inner + out)
            total += shortcuts * (width * width + width * out)
        return total


SHAPES = (
    Shape("OPT-1.3B", 2048, 24, 8192, 50272, 2050),
    Shape("OPT-2.7B", 2560, 32, 10240, 50272, 2050),
    Shape("OPT-6.7B", 4096, 32, 16384, 50272, 2050),
    Shape("OPT-13B", 5120, 40, 20480, 50272, 2050),
    Shape("Llama-2-7B", 4096, 32, 11008, 32000, is_gated=True),
)
PAPER = {
    "OPT-1.3B": ((9.53, 13.77), (14.84, 18.61), (20.53, 23.81)),
    "OPT-2.7B": ((9.19, 13.84), (15.07, 19.09), (20.88, 24.43)),
    "OPT-6.7B": ((9.29, 14.07), (15.16, 19.29), (21.18, 24.84)),
    "OPT-13B": ((9.18, 14.01), (15.27, 19.51), (21.29, 24.97)),
    "Llama-2-7B": ((9.38, 14.13), (15.34, 19.53), (21.45, 25.09)),
}
"""Per cent of the dense model saved after slicing and after bits-back (He et al., table 1), at 20, 25 and 30 %."""

PAPER_CPU_MINUTES = {"OPT-1.3B": (3.9, 1.5), "OPT-2.7B": (8.0, 3.5), "OPT-6.7B": (30.0, 12.0), "OPT-13B": (84.0, 30.0)}
"""Encoding and decoding at 20 %, on a CPU that the paper does not name."""


def orthogonal(rng: np.random.Generator, size: int) -> Array:
    q, r = np.linalg.qr(rng.standard_normal((size, size)))
    return q * np.sign(np.diagonal(r))


@dataclass(slots=True)
class WeightMaker:
    """Weights of one model shape. Orientations are drawn once and used for all slots: QR is the slow part."""

    rng: np.random.Generator
    shape: Shape
    kept: int
    _orientation: Array | None = None
    _corner: Array | None = None

    def linear(self, rows: int, columns: int) -> Array:
        """(rows, columns), as rows that read or columns that write a slot of `kept` directions."""
        spectrum = (np.arange(1, self.kept + 1) + 10.0) ** -SPECTRUM_EXPONENT
        spectrum *= WEIGHT_RMS / np.sqrt(np.mean(spectrum**2))
        if self._orientation is None:
            self._orientation = orthogonal(self.rng, self.kept)
        if columns == self.kept:
            return (self.rng.standard_normal((rows, columns)) * spectrum) @ self._orientation
        if rows == self.kept:
            return self._orientation.T @ (spectrum[:, None] * self.rng.standard_normal((rows, columns)))
        return WEIGHT_RMS * self.rng.standard_normal((rows, columns))

    def shortcut(self, columns: int) -> Array:
        """(kept, columns): a corner of an orthogonal matrix of `hidden` rows, a different one each time."""
        if self._corner is None:
            self._corner = orthogonal(self.rng, self.shape.hidden)
        order = self.rng.permutation(self.shape.hidden)
        return self._corner[order[: self.kept], :columns]

    def block(self, prefix: str, *, is_last: bool) -> Iterator[tuple[str, Array]]:
        """Names and values of one block's tensors, as SliceGPT names them."""
        hidden, inner, kept = self.shape.hidden, self.shape.inner, self.kept
        out = hidden if is_last else kept
        yield f"{prefix}.attn_shortcut_Q", self.shortcut(kept)
        yield f"{prefix}.mlp_shortcut_Q", self.shortcut(out)
        for name in ("q_proj", "k_proj", "v_proj"):
            yield f"{prefix}.self_attn.{name}.weight", self.linear(hidden, kept)
        if self.shape.is_gated:
            yield f"{prefix}.self_attn.o_proj.weight", self.linear(kept, hidden)
            for name in ("gate_proj", "up_proj"):
                yield f"{prefix}.mlp.{name}.weight", self.linear(inner, kept)
            yield f"{prefix}.mlp.down_proj.weight", self.linear(out, inner)
            return
        yield f"{prefix}.self_attn.out_proj.weight", self.linear(kept, hidden)
        yield f"{prefix}.fc1.weight", self.linear(inner, kept)
        yield f"{prefix}.fc2.weight", self.linear(out, inner)
