"""The bit stack and what lies on it: pops undo pushes, words are the reference's, costs are the entropy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freebits_codecs.errors import CorruptContainer
from freebits_codecs.reference.bit_stack import BitStack as PlainStack
from freebits_codecs.symmetry.bit_stack import WEIGHT_SUM, BitStack, check_weights, make_weights
from freebits_codecs.symmetry.floats import FLOAT_TYPES
from freebits_codecs.symmetry.priors import PRIORS

FEW = settings(max_examples=40, deadline=None, derandomize=True, database=None)
SEEDS = st.integers(0, 2**32)


@FEW
@given(bits=st.integers(1, 32), numel=st.integers(0, 300), below=st.integers(0, 40), seed=SEEDS)
def test_bits_come_back(bits, numel, below, seed):
    """Values of any width, on any stack; the plain stack stores and reads the same words."""
    rng = np.random.default_rng(seed)
    bottom = rng.integers(0, 1 << 16, below).astype(np.uint32)
    values = rng.integers(0, 1 << bits, numel).astype(np.uint32)
    stack = BitStack()
    stack.push_bits(bottom, 16)
    before = stack.words()
    stack.push_bits(values, bits)
    plain = PlainStack(stack.words().tolist())
    assert plain.pop_values(numel, bits) == values.tolist()
    assert (BitStack(stack.words()).pop_bits(numel, bits) == values).all()
    assert (stack.pop_bits(numel, bits) == values).all()
    assert stack.words().tolist() == before.tolist()
    assert plain.pop_values(below, 16) == bottom.tolist()
    assert plain.is_empty


@FEW
@given(sizes=st.lists(st.integers(0, 5000), min_size=1, max_size=90), numel=st.integers(0, 300), seed=SEEDS)
def test_symbols_come_back(sizes, numel, seed):
    """Symbols of any alphabet, also of one, and of weights 0."""
    weights = make_weights(np.array(sizes))
    assert check_weights(weights, len(weights)) == weights
    possible = np.flatnonzero(weights) if any(sizes) else np.arange(1)
    symbols = np.random.default_rng(seed).choice(possible, numel).astype(np.int32)
    stack = BitStack()
    stack.push_bits(np.arange(9, dtype=np.uint32), 16)
    before = stack.words().tolist()
    stack.push_from(symbols, weights)
    plain = PlainStack(stack.words().tolist())
    assert plain.pop_symbols(numel, weights) == symbols.tolist()
    assert plain.pop_values(9, 16) == list(range(9))
    assert stack.pop_from(numel, weights).tolist() == symbols.tolist()
    assert stack.words().tolist() == before


def test_popping_first_and_pushing_back_changes_nothing():
    """What bits-back coding does: symbols of any weights come off random bits and go back."""
    rng = np.random.default_rng(5)
    stack = BitStack()
    stack.push_bits(rng.integers(0, 1 << 16, 500).astype(np.uint32), 16)
    before = stack.words().tolist()
    weights = make_weights(rng.integers(0, 100, 50))
    symbols, bits = stack.pop_from(400, weights), stack.pop_bits(60, 27)
    assert len(set(symbols.tolist())) > 30
    stack.push_bits(bits, 27)
    stack.push_from(symbols, weights)
    assert stack.words().tolist() == before


@pytest.mark.parametrize("numel", [2000, 20000])
def test_costs_are_the_entropy(numel):
    """To 0.2 % and a word."""
    rng = np.random.default_rng(6)
    symbols = np.minimum(rng.geometric(0.3, numel), 30).astype(np.int32)
    counts = np.bincount(symbols)
    share = counts[counts > 0] / numel
    stack = BitStack()
    stack.push_from(symbols, make_weights(counts))
    assert abs(stack.nbits - numel * -(share * np.log2(share)).sum()) < 0.002 * stack.nbits + 64
    stack = BitStack()
    stack.push_bits(rng.integers(0, 1 << 11, numel).astype(np.uint32), 11)
    assert abs(stack.nbits - 11 * numel) <= 32


def test_stacks_that_end_with_zeros_are_refused():
    """A stored stack has no word 0 at its end."""
    with pytest.raises(CorruptContainer):
        BitStack(np.array([5, 0], np.uint32))
    with pytest.raises(CorruptContainer):
        PlainStack([5, 0])


@pytest.mark.parametrize(
    "weights", [None, [], [WEIGHT_SUM + 1], [1.0], [True], ["65536"], [-1, WEIGHT_SUM + 1], [1, 2]]
)
def test_weights_that_are_none_are_refused(weights):
    """They come from a recipe."""
    with pytest.raises(CorruptContainer):
        check_weights(weights, 100)


PRIORS_OF_DTYPES = [(prior, dtype) for prior in PRIORS for dtype in FLOAT_TYPES if (prior, dtype) != ("words", "F32")]
EACH_PRIOR = pytest.mark.parametrize(("name", "dtype"), PRIORS_OF_DTYPES)


def any_words(dtype, numel, seed):
    """Weights, and among them every kind of bit pattern."""
    kind, rng = FLOAT_TYPES[dtype], np.random.default_rng(seed)
    words = kind.rounded(rng.normal(0, 0.02, numel)).copy()
    odd = rng.random(numel) < 0.1
    words[odd] = np.frombuffer(rng.bytes(kind.width // 8 * int(odd.sum())), kind.word)
    return words


@EACH_PRIOR
@pytest.mark.parametrize("numel", [0, 1, 1000])
def test_tensors_come_back(name, dtype, numel):
    """Of any bit patterns, NaN payloads too; in the order of a stack."""
    prior, stack = PRIORS[name](FLOAT_TYPES[dtype]), BitStack()
    tensors = [any_words(dtype, numel, seed) for seed in range(3)]
    tables = [prior.push(stack, words) for words in tensors]
    for words, table in zip(reversed(tensors), reversed(tables), strict=True):
        assert (prior.pop(stack, numel, table) == words).all()
    assert not stack.nbits


@EACH_PRIOR
def test_tensors_cost_their_entropy(name, dtype):
    """16 bits of words; otherwise what the exponents' entropy and the other bits add up to."""
    kind, numel = FLOAT_TYPES[dtype], 20_000
    words = kind.rounded(np.random.default_rng(8).normal(0, 0.02, numel))
    exponents = words.astype(np.uint32) >> kind.mantissa_bits & (1 << kind.exponent_bits) - 1
    share = np.unique(exponents, return_counts=True)[1] / numel
    expected = kind.width - kind.exponent_bits - (share * np.log2(share)).sum() if name == "entropy" else kind.width
    stack = BitStack()
    PRIORS[name](kind).push(stack, words)
    assert abs(stack.nbits / numel - expected) < 0.01


@EACH_PRIOR
def test_entries_come_back(name, dtype):
    """Popped ordinals push back what was there; they grow with the numbers, and are the nearest to them."""
    kind = FLOAT_TYPES[dtype]
    prior, stack = PRIORS[name](kind), BitStack()
    prior.push(stack, kind.rounded(np.random.default_rng(9).normal(0, 0.02, 4000)))
    before = stack.words().tolist()
    ordinals = prior.pop_entries(stack, 700)
    values = prior.entry_values(ordinals)
    order = np.argsort(ordinals)
    assert (np.diff(values[order]) >= 0).all()
    nonzero = values != 0  # of words, -0.0 is next to 0.0
    assert (prior.nearest_entries(values)[nonzero] == ordinals[nonzero]).all()
    prior.push_entries(stack, ordinals)
    assert stack.words().tolist() == before


@EACH_PRIOR
def test_entries_beyond_the_stack_are_refused(name, dtype):
    """They would be cut silently."""
    prior = PRIORS[name](FLOAT_TYPES[dtype])
    half = 1 << prior.entry_bits() - 1
    for ordinal in (-half - 1, half, 1 << 40):
        with pytest.raises(CorruptContainer, match="entries of a turn"):
            prior.push_entries(BitStack(), np.array([0, ordinal]))
    for ordinal in (-half, half - 1):
        stack = BitStack()
        prior.push_entries(stack, np.array([ordinal]))
        assert prior.pop_entries(stack, 1).tolist() == [ordinal]
