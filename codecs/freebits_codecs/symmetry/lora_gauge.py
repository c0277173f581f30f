"""LoRA adapters without the numbers that a change of basis sets to 0 and 1.

B A is the same for every invertible G in B G^-1, G A. Here G makes r columns of A (or rows of B) the identity matrix:
r^2 numbers need not be stored. The columns are chosen so that no entry of what remains is much above 1, and each number
is rounded so that it makes up for the rounding of those before it. A pair that would still suffer more from rounding
than it already has stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freebits_codecs.errors import CorruptContainer, NotSymmetric
from freebits_codecs.symmetry.adapters import Pair
from freebits_codecs.symmetry.bits_back import Outcome
from freebits_codecs.symmetry.checkpoint import Checkpoint
from freebits_codecs.symmetry.floats import Array, FloatType, Words
from freebits_codecs.symmetry.form import Parts
from freebits_codecs.symmetry.turning import Turner

PIVOTS = "pivots"
MAX_ERROR = 1.0
"""A pair is left as it is when the gauge would add more than this times the error that rounding it once made."""

EXCHANGE = 1.01
"""Entries beyond which columns are exchanged."""

MAX_EXCHANGES = 1000
RANK_TOLERANCE = 1e-7
"""Pivots below this fraction of the largest entry are rounding; also of adapters in F32."""


@dataclass(frozen=True, slots=True)
class PivotGauge:
    """A pair in the gauge in which `pivots` of A's columns (axis 1) or of B's rows (axis 0) are the identity.

    `a` (r, n) and `b` (m, r) are numbers that the dtype can store.
    """

    a: Array
    b: Array
    axis: int
    pivots: NDArray[np.intp]


def lora_gauge(
    pairs: list[Pair], turner: Turner, parts: Parts, max_error: float, done: Callable[[int], None]
) -> Outcome:
    """Write every pair in the gauge, or as it is where rounding would hurt more than it already did.

    Raises NotSymmetric when no pair can be written so.
    """
    source = turner.source
    recipe: dict[str, Any] = {}
    refused: dict[str, str] = {}
    ratios = []
    for number, pair in enumerate(pairs):
        gauge, ratio, reason = _best_gauge(pair, source, max_error)
        if gauge is None:
            refused[pair.a] = reason
            turner.keep(pair.a)
            turner.keep(pair.b)
        else:
            recipe.update(_store(pair, gauge, number, turner, parts))
            ratios.append(ratio)
        done(source.nbytes(pair.a) + source.nbytes(pair.b))
    if not recipe:
        name, reason = next(iter(refused.items()))
        raise NotSymmetric(f"no pair can be written in the gauge; {name}: {reason}", "keep the adapter as it is")
    facts = {
        "pairs": len(pairs),
        "pairs_refused": refused,
        "largest_error_over_own_rounding": max(ratios),
    }
    return Outcome(list(recipe), {"made": recipe}, facts)


def _store(pair: Pair, gauge: PivotGauge, number: int, turner: Turner, parts: Parts) -> dict[str, Any]:
    name = pair.a if gauge.axis == 1 else pair.b
    words = {pair.a: turner.store(pair.a, gauge.a), pair.b: turner.store(pair.b, gauge.b)}
    rest = np.delete(words[name], gauge.pivots, gauge.axis)
    kind = turner.source.float_type(name)
    return {
        name: {
            "as": PIVOTS,
            "axis": gauge.axis,
            "part": parts.add(f"rest.{number}", rest, kind.name),
            "pivots": parts.add(f"pivots.{number}", gauge.pivots.astype(np.uint32)),
        }
    }


def unpack_pivots(
    rest: Words, pivots: NDArray[np.uint32], shape: tuple[int, ...], axis: object, kind: FloatType
) -> Words:
    """The (m, n) matrix that is the identity at `pivots` along `axis` and `rest` elsewhere. Raises CorruptContainer."""
    if type(axis) is not int or axis not in (0, 1) or len(shape) != 2:
        raise CorruptContainer("axis of pivots", found=repr(axis)[:80], expected="0 or 1")
    rank, length = shape[1 - axis], shape[axis]
    if pivots.shape != (rank,) or (np.diff(pivots.astype(np.int64)) <= 0).any() or int(pivots[-1]) >= length:
        raise CorruptContainer("pivots", found=pivots.shape, expected=f"{rank} ascending ones below {length}")
    expected = (rank, length - rank) if axis == 1 else (length - rank, rank)
    if rest.shape != expected:
        raise CorruptContainer("rest of an adapter", found=rest.shape, expected=expected)
    words = np.zeros(shape, kind.word)
    identity = kind.rounded(np.eye(rank))
    others = np.setdiff1d(np.arange(length), pivots)
    columns = words if axis == 1 else words.T
    columns[:, others] = rest if axis == 1 else rest.T
    columns[:, pivots] = identity
    return words


def _best_gauge(pair: Pair, source: Checkpoint, max_error: float) -> tuple[PivotGauge | None, float, str]:
    """The gauge with the smaller error, its error over the pair's own, and why there is none."""
    kind = source.float_type(pair.a)
    if source.float_type(pair.b) != kind:
        return None, 0.0, "A and B have different dtypes"
    words = source.words(pair.a), source.words(pair.b)
    if not all(kind.is_finite(array) for array in words):
        return None, 0.0, "NaN or infinity"
    a, b = (kind.values(array) for array in words)
    own = own_rounding(a, b, kind)
    candidates = [(float(np.linalg.norm(gauge.b @ gauge.a - b @ a)), gauge) for gauge in _gauges(a, b, kind)]
    if not candidates:
        return None, 0.0, f"rank below {pair.rank}, so no {pair.rank} columns of A or rows of B are independent"
    error, gauge = min(candidates, key=lambda candidate: candidate[0])
    if not np.isfinite(error):
        return None, error, f"it would leave the range of {kind.name}"
    ratio = error / own if own else float(error > 0)
    if ratio > max_error:
        return None, ratio, f"its rounding error would be {ratio:.3g} times what storing the adapter already did"
    return gauge, ratio, ""


def _gauges(a: Array, b: Array, kind: FloatType) -> Iterator[PivotGauge]:
    pivots = pivot_columns(a)
    if pivots is not None:
        turned_b, turned_a = _in_gauge(b, a, pivots, kind)
        yield PivotGauge(turned_a, turned_b, 1, pivots)
    pivots = pivot_columns(np.ascontiguousarray(b.T))
    if pivots is not None:
        turned_a, turned_b = _in_gauge(np.ascontiguousarray(a.T), np.ascontiguousarray(b.T), pivots, kind)
        yield PivotGauge(np.ascontiguousarray(turned_a.T), np.ascontiguousarray(turned_b.T), 0, pivots)


def _in_gauge(left: Array, right: Array, pivots: NDArray[np.intp], kind: FloatType) -> tuple[Array, Array]:
    """`left` (m, r) and `right` (r, n) of a product, with the identity at `pivots` of the right, in stored numbers."""
    block = right[:, pivots]
    exact_left = left @ block
    exact_right: Array = np.linalg.solve(block, right).astype(np.float64)
    stored_right = round_beside(exact_right, exact_left, kind)
    stored_right[:, pivots] = np.eye(len(right))
    # What rounding the right factor did lies partly in its rows' space, where the left factor can make up for it.
    best_left: Array = np.linalg.lstsq(stored_right.T, (left @ right).T, rcond=None)[0].astype(np.float64)
    stored_left = round_beside(best_left, np.ascontiguousarray(stored_right.T), kind)
    return np.ascontiguousarray(stored_left.T), stored_right


def round_beside(factor: Array, other: Array, kind: FloatType) -> Array:
    """Round `factor` (r, n) to `kind` so that `other @ factor`, of (m, r) and (r, n), changes little.

    Row after row: each is moved by what the rows rounded before it did to the product, as far as it can undo that
    (Babai's nearest plane).
    """
    triangle = np.zeros((len(factor), len(factor)))  # its last rows stay so where `other` has fewer than columns
    triangle[: len(other)] = np.linalg.qr(other, mode="r")
    rounded = factor.copy()
    error = np.zeros_like(factor)
    for row in reversed(range(len(factor))):
        pivot = triangle[row, row]
        moved = triangle[row, row + 1 :] @ error[row + 1 :] / pivot if pivot else 0.0
        rounded[row] = kind.values(kind.rounded(factor[row] - moved))
        error[row] = rounded[row] - factor[row]
    return rounded


def pivot_columns(matrix: Array) -> NDArray[np.intp] | None:
    """r columns, ascending, of a (r, n) matrix, of nearly the largest determinant; None when its rank is below r.

    Complete pivoting finds good ones; then columns are exchanged while that makes the determinant larger, until no
    entry of the matrix in the basis of these columns is above `EXCHANGE` (maxvol, Goreinov et al. 2010).
    """
    columns = _eliminate(matrix)
    if columns is None:
        return None
    inside = np.linalg.solve(matrix[:, columns], matrix)
    for _ in range(MAX_EXCHANGES):
        row, column = divmod(int(np.argmax(np.abs(inside))), inside.shape[1])
        pivot = inside[row, column]
        if abs(pivot) <= EXCHANGE:
            break
        change = inside[:, column].copy()
        change[row] -= 1.0
        inside -= np.outer(change, inside[row] / pivot)
        columns[row] = column
    return np.sort(columns)


def _eliminate(matrix: Array) -> NDArray[np.intp] | None:
    """Columns that elimination with complete pivoting takes, in its order; None when it meets nothing but rounding."""
    rest = matrix.copy()
    scale = float(np.abs(rest).max(initial=0.0))
    columns = np.empty(len(rest), np.intp)
    for step in range(len(rest)):
        row, column = divmod(int(np.argmax(np.abs(rest[step:]))), rest.shape[1])
        pivot = rest[step + row, column]
        if abs(pivot) <= scale * RANK_TOLERANCE:
            return None
        rest[np.array([step, step + row])] = rest[np.array([step + row, step])]
        rest[step + 1 :] -= np.outer(rest[step + 1 :, column] / pivot, rest[step])
        columns[step] = column
    return columns


def own_rounding(a: Array, b: Array, kind: FloatType) -> float:
    """Expected Frobenius norm of what rounding A and B to `kind` did to B A: a uniform error of one spacing each."""
    of_a, of_b = np.square(kind.spacing(a)) / 12, np.square(kind.spacing(b)) / 12
    from_a = float(np.square(b).sum(axis=0) @ of_a.sum(axis=1))
    from_b = float(of_b.sum(axis=0) @ np.square(a).sum(axis=1))
    return float(np.sqrt(from_a + from_b))
