"""Rotations popped and pushed back: by way of rounded tensors, and whatever a library's last digits are."""

from __future__ import annotations

import numpy as np
import pytest

from freebits_codecs.errors import CorruptContainer
from freebits_codecs.symmetry.algebra import NumpyAlgebra, TorchAlgebra
from freebits_codecs.symmetry.bit_stack import BitStack
from freebits_codecs.symmetry.corrections import Corrections, apply_corrections, make_corrections
from freebits_codecs.symmetry.floats import FLOAT_TYPES
from freebits_codecs.symmetry.priors import PRIORS
from freebits_codecs.symmetry.rotations import correct_rotation, estimate_entries, pop_rotation, push_rotation

PRIORS_OF_DTYPES = [(prior, dtype) for prior in PRIORS for dtype in FLOAT_TYPES if (prior, dtype) != ("words", "F32")]
EACH_PRIOR = pytest.mark.parametrize(("name", "dtype"), PRIORS_OF_DTYPES)
NUMPY = NumpyAlgebra()


def popped_rotation(name, dtype, size, seed=0):
    """The stack before, the stack after, the prior and what was popped."""
    kind, rng = FLOAT_TYPES[dtype], np.random.default_rng(seed)
    prior, stack = PRIORS[name](kind), BitStack()
    prior.push(stack, kind.rounded(rng.normal(0, 0.02, 40 * size * size)))
    before = stack.words().tolist()
    return before, stack, prior, pop_rotation(stack, prior, size, NUMPY)


def turned_gram(popped, kind, size, seed=0):
    """Of a tensor that was turned by what was popped, and rounded."""
    values = np.random.default_rng(seed + 1).normal(0, 0.3, (5 * size, size))
    _, canonical = NUMPY.eigh(NUMPY.gram([values]))
    stored = kind.values(kind.rounded(values @ canonical @ popped.rotation.T))
    return NUMPY.gram([stored])


@EACH_PRIOR
@pytest.mark.parametrize("size", [1, 2, 7, 24, 65])
def test_rotations_come_back(name, dtype, size):
    """Pushed back from the rounded tensor, by either library, the stack is what it was."""
    before, stack, prior, popped = popped_rotation(name, dtype, size)
    assert np.allclose(popped.rotation @ popped.rotation.T, np.eye(size), atol=1e-12)
    gram = turned_gram(popped, FLOAT_TYPES[dtype], size)
    corrections = correct_rotation(prior, gram, popped, NUMPY)
    assert corrections is not None
    after = stack.words()
    for algebra in (NUMPY, TorchAlgebra("cpu")):
        stack = BitStack(after)
        push_rotation(stack, prior, gram, popped.eigenvalues, corrections, algebra)
        assert stack.words().tolist() == before


@EACH_PRIOR
def test_the_last_digits_of_a_library_do_not_show(name, dtype):
    """Estimates that are off by 1e-12 of the matrix give the same ordinals: those near borders are listed."""
    size = 48
    _, _, prior, popped = popped_rotation(name, dtype, size)
    gram = turned_gram(popped, FLOAT_TYPES[dtype], size)
    corrections = correct_rotation(prior, gram, popped, NUMPY)
    estimates = estimate_entries(gram, popped.eigenvalues, NUMPY)
    scale = np.sqrt(np.mean(prior.entry_values(popped.entries) ** 2))
    rng = np.random.default_rng(3)
    for noise in (np.zeros(estimates.size), *(rng.choice([-1, 1], estimates.size) for _ in range(20))):
        found = apply_corrections(prior, corrections, estimates + 1e-12 * scale * noise)
        assert (found == popped.entries).all()


@EACH_PRIOR
def test_entries_next_to_a_border_are_exceptions(name, dtype):
    """An estimate on the border itself may be rounded either way, and it does not matter."""
    prior, rng = PRIORS[name](FLOAT_TYPES[dtype]), np.random.default_rng(4)
    exact = rng.integers(1000, 1100, 500)
    upper, lower = prior.entry_values(exact + 1), prior.entry_values(exact)
    near = rng.random(500) < 0.2
    guard = float(np.min(upper - lower)) / 1000
    estimates = np.where(near, (upper + lower) / 2 + rng.uniform(-0.5, 0.5, 500) * guard, lower)
    corrections = make_corrections(prior, exact, estimates, guard)
    assert set(np.flatnonzero(near)) <= set(corrections.positions.tolist())
    for noise in (-0.9 * guard, 0.0, 0.9 * guard):
        assert (apply_corrections(prior, corrections, estimates + noise) == exact).all()


@pytest.mark.parametrize("spread", [0, 1, 30, 5000, 10**8])
def test_differences_of_any_size_come_back(spread):
    """Small ones coded, larger ones in full."""
    prior, rng = PRIORS["entropy"](FLOAT_TYPES["F32"]), np.random.default_rng(5)
    exact = rng.integers(-(10**7), 10**7, 3000)
    estimates = exact + rng.integers(-spread, spread + 1, 3000) * rng.choice([0.0, 1.0], 3000)
    corrections = make_corrections(prior, exact, estimates, 0.01)
    assert (apply_corrections(prior, corrections, estimates) == exact).all()
    assert corrections.reach <= 1023
    if not spread:
        assert (corrections.nbits, corrections.reach) == (16, 0)


def test_corrections_cost_their_entropy():
    """Differences of a few units of rounding cost a few bits each."""
    prior, rng = PRIORS["entropy"](FLOAT_TYPES["F16"]), np.random.default_rng(6)
    exact = rng.integers(-5000, 5000, 50_000)
    estimates = exact + rng.normal(0, 1.2, 50_000)
    counts = np.unique(exact - np.rint(estimates).astype(int), return_counts=True)[1] / 50_000
    entropy = -(counts * np.log2(counts)).sum()
    corrections = make_corrections(prior, exact, estimates, 1e-9)
    assert abs(corrections.nbits / 50_000 - entropy) < 0.05


def test_grams_that_do_not_tell_directions_apart_are_not_relied_on():
    """Equal eigenvalues, a missing direction, and gaps of rounding."""
    _, _, prior, popped = popped_rotation("entropy", "F16", 6)
    for squares in ([3, 3, 2, 1, 1, 1], [5, 4, 3, 2, 1, 0], [1 + 1e-14, 1, 0.9, 0.8, 0.7, 0.6], [0] * 6):
        assert correct_rotation(prior, np.diag(np.array(squares, float)), popped, NUMPY) is None
    assert correct_rotation(prior, np.diag([9.0, 7, 5, 3, 2, 1]), popped, NUMPY) is not None


EMPTY = np.empty(0, np.uint32)


@pytest.mark.parametrize(
    "corrections",
    [
        Corrections(1024, [0] * 2048 + [65536], EMPTY, EMPTY, EMPTY.view(np.int32)),
        Corrections(-1, [65536], EMPTY, EMPTY, EMPTY.view(np.int32)),
        Corrections(0, [65535], EMPTY, EMPTY, EMPTY.view(np.int32)),
        Corrections(1, [65536], EMPTY, EMPTY, EMPTY.view(np.int32)),
        Corrections(0, [65536], np.array([7], np.uint32), EMPTY, EMPTY.view(np.int32)),
        Corrections(0, [65536], EMPTY, np.array([5], np.uint32), np.array([0], np.int32)),
        Corrections(0, [65536], EMPTY, np.array([1, 1], np.uint32), np.array([0, 0], np.int32)),
        Corrections(0, [65536], EMPTY, np.array([2, 1], np.uint32), np.array([0, 0], np.int32)),
        Corrections(0, [65536], EMPTY, np.array([1], np.uint32), EMPTY.view(np.int32)),
    ],
    ids=["reach", "below", "sum", "weights", "left over", "beyond", "twice", "order", "ordinals"],
)
def test_corrections_that_are_none_are_refused(corrections):
    """They come from a recipe."""
    with pytest.raises(CorruptContainer):
        apply_corrections(PRIORS["entropy"](FLOAT_TYPES["F16"]), corrections, np.zeros(5))
