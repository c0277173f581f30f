"""A matrix turned lower triangular: half of it is zeros that need not be stored.

Any (d, n) matrix with n >= d is L Q with Q orthogonal and L lower triangular in its first d columns, 0 beyond them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from freebits_codecs.errors import CorruptContainer
from freebits_codecs.symmetry.algebra import Algebra
from freebits_codecs.symmetry.floats import Array, Words
from freebits_codecs.symmetry.form import Parts
from freebits_codecs.symmetry.turning import Turner

TRIANGLE = "triangle"


@dataclass(frozen=True, slots=True)
class Gauge:
    """`rotation` (n, n) turns a (d, n) shortcut into `turned`; `factor` (d, k) is V where that is I - V V^T."""

    rotation: Array
    turned: Array
    factor: Array | None = None


def triangular_gauge(shortcut: Array, algebra: Algebra) -> Gauge:
    """The rotation that makes `shortcut` (d, n), d <= n, lower triangular, with a positive diagonal."""
    q, r = algebra.qr(np.ascontiguousarray(shortcut.T))
    signs = np.ones(len(q))
    diagonal = np.diagonal(r)
    signs[: len(diagonal)] = np.where(diagonal < 0, -1.0, 1.0)
    turned = np.ascontiguousarray((r * signs[:, None]).T)
    return Gauge(q * signs, np.tril(turned))


def store_triangle(name: str, gauge: Gauge, turner: Turner, parts: Parts) -> dict[str, Any]:
    """Write the shortcut, and its triangle as a part; the recipe's entry."""
    words = turner.store(name, gauge.turned)
    rows = min(words.shape)
    return {
        "as": TRIANGLE,
        "part": parts.add(f"triangle.{name}", words[np.tril_indices(rows)], turner.source.dtype(name)),
    }


def unpack_triangle(triangle: Words, shape: tuple[int, ...]) -> Words:
    """The matrix of `shape` (d, n), d <= n, that has this triangle, zero elsewhere. Raises CorruptContainer."""
    rows = shape[0]
    if len(shape) != 2 or shape[1] < rows or triangle.shape != (rows * (rows + 1) // 2,):
        raise CorruptContainer("triangle", found=triangle.shape, expected=f"{rows * (rows + 1) // 2} for shape {shape}")
    words = np.zeros(shape, triangle.dtype)
    words[np.tril_indices(rows)] = triangle
    return words
