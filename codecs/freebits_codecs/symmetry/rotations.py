"""A rotation as bits on a stack, after J. He et al., "Getting free bits back from rotational symmetries in LLMs".

A symmetric matrix M of d (d + 1) / 2 entries is popped; its eigenvectors Q, by descending eigenvalue, are the rotation,
and the d eigenvalues are kept. Whoever has a tensor that was rotated by Q can find Q in it, put M together again and
push it back: d (d - 1) / 2 entries were free.

Q is found up to the rounding of the tensor. Eigenvalues and singular values are both paired in descending order, so
that directions which rounding mixes carry nearly the same eigenvalue and M hardly notices. Signs do not matter: an
eigenvector enters M twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freebits_codecs.symmetry.algebra import Algebra
from freebits_codecs.symmetry.bit_stack import BitStack
from freebits_codecs.symmetry.corrections import Corrections, apply_corrections, make_corrections
from freebits_codecs.symmetry.floats import Array
from freebits_codecs.symmetry.priors import Ordinals, Prior

GUARDS = {16: 2.0**-27, 32: 2.0**-33}
"""By the width of the weights: estimates are trusted to this fraction of the rms of M, and what lies closer to a border
is stored in full. The finer entries are, the more of them a margin covers."""

NOISE = 2.0**-50
"""Libraries differ by about this fraction of the largest eigenvalue, times sqrt(d), in a Gram matrix of d rows."""


Eigenvalues = NDArray[np.floating]
"""float32 beside weights of 16 bits, float64 beside F32: they are to be more exact than the weights."""


@dataclass(frozen=True, slots=True)
class PoppedRotation:
    """`rotation` (d, d) orthogonal, `eigenvalues` (d) descending, as they are stored, `entries` those of M."""

    rotation: Array
    eigenvalues: Eigenvalues
    entries: Ordinals


def entry_count(size: int) -> int:
    """Entries of a symmetric matrix of `size` rows."""
    return size * (size + 1) // 2


def pop_rotation(stack: BitStack, prior: Prior, size: int, algebra: Algebra) -> PoppedRotation:
    """Take d (d + 1) / 2 entries off the stack and make a rotation of d = `size` of them."""
    entries = prior.pop_entries(stack, entry_count(size))
    eigenvalues, vectors = algebra.eigh(_symmetric(prior.entry_values(entries), size))
    return PoppedRotation(vectors, eigenvalues.astype(prior.dtype.precise), entries)


def push_rotation(
    stack: BitStack, prior: Prior, gram: Array, eigenvalues: Eigenvalues, corrections: Corrections, algebra: Algebra
) -> None:
    """Undo `pop_rotation`, knowing the Gram matrix (d, d) of a tensor in the rotated orientation."""
    estimates = estimate_entries(gram, eigenvalues, algebra)
    prior.push_entries(stack, apply_corrections(prior, corrections, estimates))


def correct_rotation(prior: Prior, gram: Array, popped: PoppedRotation, algebra: Algebra) -> Corrections | None:
    """What `push_rotation` will need; None when `gram` does not tell the directions well enough apart to rely on.

    `gram` is of the rotated tensor *after* rounding: what the decoder sees.
    """
    squares, vectors = algebra.eigh(gram)
    guard = GUARDS[prior.dtype.width] * float(np.sqrt(np.mean(prior.entry_values(popped.entries) ** 2)))
    if _uncertainty(squares, popped.eigenvalues) > guard / 8:
        return None
    estimates = _entries(vectors, popped.eigenvalues, algebra)
    return make_corrections(prior, popped.entries, estimates, guard)


def estimate_entries(gram: Array, eigenvalues: Eigenvalues, algebra: Algebra) -> Array:
    """Entries of M, float64 (d (d + 1) / 2), as the rotated tensor shows them."""
    _, vectors = algebra.eigh(gram)
    return _entries(vectors, eigenvalues, algebra)


def _entries(vectors: Array, eigenvalues: Eigenvalues, algebra: Algebra) -> Array:
    estimate = algebra.product(vectors * eigenvalues.astype(np.float64), np.ascontiguousarray(vectors.T))
    entries: Array = estimate[np.triu_indices(len(estimate))]
    return entries


def _symmetric(entries: Array, size: int) -> Array:
    matrix = np.empty((size, size))
    upper = np.triu_indices(size)
    matrix[upper] = entries
    matrix.T[upper] = entries
    return matrix


def _uncertainty(squares: Array, eigenvalues: Eigenvalues) -> float:
    """By how much (rms) libraries may differ in the entries of M; inf when two directions cannot be told apart, or one
    is missing, as with fewer rows than columns.

    Noise of norm e in the Gram matrix turns eigenvectors i and j by e / gap into each other, which moves M by that
    times the difference of their eigenvalues, spread over d x d entries. Neighbours decide.
    """
    size = len(squares)
    gaps = squares[:-1] - squares[1:]
    noise = NOISE * float(np.sqrt(size)) * float(squares[0])
    if squares[-1] <= noise or gaps.min(initial=np.inf) <= 0:
        return float("inf")
    moved = noise * -np.diff(eigenvalues.astype(np.float64)) / gaps
    return float(np.sqrt(2 * np.square(moved).sum()) / size)
