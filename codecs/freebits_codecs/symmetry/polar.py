"""A corner of an orthogonal matrix, turned symmetric: I - V V^T with few columns in V.

A d x d corner of a D x D orthogonal matrix has 2 d - D singular values that are exactly 1. In the polar decomposition
P U of it, P = I - V V^T with V of D - d columns: U is a rotation of the next slot, and V is all there is to store. V is
determined up to a rotation of its own columns, by which it is made lower trapezoidal.

Decoding must give the same floats everywhere, so V is stored in multiples of 2^-26: then all products are multiples of
2^-52, all sums stay below 2, and float64 adds them exactly, in any order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from freebits_codecs.errors import CorruptContainer
from freebits_codecs.symmetry.algebra import Algebra
from freebits_codecs.symmetry.floats import Array, FloatType, Words
from freebits_codecs.symmetry.form import Parts
from freebits_codecs.symmetry.triangular import Gauge, triangular_gauge
from freebits_codecs.symmetry.turning import Turner

POLAR = "polar"
GRID = 2.0**26
BLOCK_ROWS = 1024
"""Rows that are made at a time: float64 takes four times the room of what is stored."""

MAX_SQUARE = 1.5
"""Of the length of a row of V: 1 but for rounding."""

ONES_TOLERANCE = 2.0
"""Singular values this many rounding units from 1 are 1: rounding moves those of an orthogonal matrix by up to one."""


def polar_gauge(shortcut: Array, algebra: Algebra, unit: float) -> Gauge:
    """The rotation that makes `shortcut` (d, n), d <= n, I - V V^T, in (d, d), and 0 beyond.

    `unit` is the relative rounding error of the shortcut's dtype. Falls back to the triangular gauge where that takes
    fewer numbers, as for a shortcut that is no corner of an orthogonal matrix.
    """
    left, singular, right = algebra.svd(shortcut)
    excess = 1.0 - singular
    is_shrunk = excess > ONES_TOLERANCE * unit
    size, rank = len(shortcut), int(is_shrunk.sum())
    if singular[0] > 1.0 + ONES_TOLERANCE * unit or not _pays(size, rank):
        return triangular_gauge(shortcut, algebra)
    rotation = algebra.product(np.ascontiguousarray(right.T), np.ascontiguousarray(left.T))
    if shortcut.shape[1] > size:
        rotation = _completed(rotation, algebra)
    turned = np.zeros(shortcut.shape)
    turned[:, :size] = algebra.product(left * singular, np.ascontiguousarray(left.T))
    factor = left[:, is_shrunk] * np.sqrt(excess[is_shrunk])
    return Gauge(rotation, turned, _trapezoidal(factor, algebra))


def store_polar(name: str, gauge: Gauge, turner: Turner, parts: Parts) -> dict[str, Any]:
    """Write the shortcut as decoding will make it, and V as a part; the recipe's entry."""
    assert gauge.factor is not None
    kind = turner.source.float_type(name)
    factor = kind.rounded(np.rint(gauge.factor * GRID) / GRID)
    packed = factor[np.tril_indices(*_trapezoid(factor.shape))]
    words = make_polar(packed, factor.shape[1], gauge.turned.shape, kind, turner.algebra)
    turner.target.write(name, words.tobytes())
    turner.note(name, gauge.turned, words)
    part = parts.add(f"factor.{name}", packed, kind.name)
    return {"as": POLAR, "part": part, "rank": factor.shape[1]}


def make_polar(packed: Words, rank: object, shape: tuple[int, ...], kind: FloatType, algebra: Algebra) -> Words:
    """I - V V^T in the first d columns of a (d, n) matrix, from the trapezoid of V. Raises CorruptContainer."""
    rows = shape[0]
    if len(shape) != 2 or type(rank) is not int or not 0 <= rank <= rows <= shape[1]:
        raise CorruptContainer("rank of a polar factor", found=repr(rank)[:80], expected=f"what fits {shape}")
    expected = rows * rank - rank * (rank - 1) // 2
    if packed.shape != (expected,):
        raise CorruptContainer(
            "polar factor", found=packed.shape, expected=f"{expected} for shape {shape}, rank {rank}"
        )
    factor = np.zeros((rows, rank))
    factor[np.tril_indices(*_trapezoid((rows, rank)))] = kind.values(packed)
    _check_exact(factor)
    words = np.zeros(shape, kind.word)
    for start in range(0, rows, BLOCK_ROWS):
        block = factor[start : start + BLOCK_ROWS]
        products = algebra.product(block, np.ascontiguousarray(factor.T))
        words[start : start + len(block), :rows] = kind.rounded(np.eye(len(block), rows, start) - products)
    return words


def _check_exact(factor: Array) -> None:
    """Of other numbers the sums of products would depend on the order in which a library adds them."""
    is_exact = bool((np.abs(factor) < 2).all()) and bool((np.rint(factor * GRID) == factor * GRID).all())
    if not is_exact or (np.square(factor).sum(axis=1) > MAX_SQUARE).any():
        raise CorruptContainer(
            "polar factor", found="other numbers", expected=f"multiples of 2^-26, squares of a row up to {MAX_SQUARE}"
        )


def _pays(size: int, rank: int) -> bool:
    return size * rank - rank * (rank - 1) // 2 < size * (size + 1) // 2


def _trapezoid(shape: tuple[int, ...]) -> tuple[int, int, int]:
    return shape[0], 0, shape[1]


def _completed(rotation: Array, algebra: Algebra) -> Array:
    """Orthonormal columns (n, d) with n - d more, orthogonal to them."""
    q, _ = algebra.qr(rotation)
    return np.hstack([rotation, q[:, rotation.shape[1] :]])


def _trapezoidal(factor: Array, algebra: Algebra) -> Array:
    """V R for the rotation R (k, k) that makes it lower trapezoidal."""
    if not factor.shape[1]:
        return factor
    q, _ = algebra.qr(np.ascontiguousarray(factor[: factor.shape[1]].T))
    return np.tril(algebra.product(factor, q))
