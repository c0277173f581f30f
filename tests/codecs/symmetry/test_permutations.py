"""Orders of exchangeable units: chosen by bits, found again, and of no effect."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freebits_codecs.errors import NotSymmetric
from freebits_codecs.symmetry.bit_stack import BitStack
from freebits_codecs.symmetry.permutations import (
    attention_heads,
    hidden_units,
    order_bits,
    pop_order,
    push_order,
    scramble,
    unscramble,
)
from freebits_codecs.symmetry.testing import Toy

TOKENS = [1, 2, 0, 2]


def full_stack(numel=4000, seed=0):
    stack = BitStack()
    stack.push_bits(np.random.default_rng(seed).integers(0, 1 << 16, numel).astype(np.uint32), 16)
    return stack


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(count=st.integers(1, 400), seed=st.integers(0, 2**32))
def test_orders_come_back(count, seed):
    """A permutation, whose bits go back where they were."""
    stack = full_stack(seed=seed)
    before = stack.words().tolist()
    order = pop_order(stack, count)
    assert sorted(order.tolist()) == list(range(count))
    push_order(stack, order)
    assert stack.words().tolist() == before


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(order=st.permutations(range(30)))
def test_any_order_can_be_pushed(order):
    """Pushing undoes popping both ways round."""
    stack = full_stack(10)
    push_order(stack, np.array(order))
    assert pop_order(stack, len(order)).tolist() == list(order)


@pytest.mark.parametrize("count", [100, 2000])
def test_orders_cost_what_they_hold(count):
    """log2(count!) bits, to a word."""
    stack = full_stack(20_000)
    before = stack.nbits
    pop_order(stack, count)
    assert abs(before - stack.nbits - order_bits(count)) < 64 + 0.001 * order_bits(count)


def test_small_orders_are_all_as_likely():
    """Of six orders of three, each is popped about as often."""
    stack = full_stack(40_000)
    found = [tuple(pop_order(stack, 3).tolist()) for _ in range(6000)]
    counts = np.unique(found, axis=0, return_counts=True)[1]
    assert len(counts) == 6
    assert np.abs(counts - 1000).max() < 150


@pytest.mark.parametrize("style", ["opt", "llama", "phi"])
def test_units_in_another_order_compute_the_same(style):
    """Hidden units and heads; their weights move, none changes, and the order gives its bits back."""
    toy = Toy(style, size=10, full=16, heads=4, inner=30)
    tensors = toy.tensors()
    stack = full_stack()
    before = stack.words().tolist()
    places = [*hidden_units(tensors), *attention_heads(tensors, toy.heads)]
    assert len(places) == 2 * toy.layers
    changed = dict(tensors)
    for units in places:
        changed |= scramble(stack, units, changed)
    assert stack.nbits < 32 * len(before) - toy.layers * (order_bits(30) + order_bits(4)) + 64
    assert all(sorted(changed[name].ravel()) == sorted(tensors[name].ravel()) for name in tensors)
    error = np.abs(toy.logits(changed, TOKENS) - toy.logits(tensors, TOKENS)).max()
    assert 0 < error < 1e-10 * np.abs(toy.logits(tensors, TOKENS)).max()
    for units in reversed(places):
        unscramble(stack, units, changed)
    assert stack.words().tolist() == before


def test_fused_projections_are_left_alone():
    """Their rows are heads in another order; moving the columns behind them alone would change the function."""
    tensors = {
        "layers.0.self_attn.qkv_proj.weight": np.ones((6, 4)),
        "layers.0.self_attn.o_proj.weight": np.ones((4, 2)),
        "layers.0.mlp.gate_up_proj.weight": np.ones((6, 4)),
        "layers.0.mlp.down_proj.weight": np.ones((4, 3)),
    }
    assert hidden_units(tensors) == attention_heads(tensors, 1) == []


def test_equal_units_are_refused():
    """Nobody could tell their order."""
    tensors = Toy("opt").tensors()
    for name in tensors:
        if name.endswith(("layers.0.fc1.weight", "layers.0.fc1.bias")):
            tensors[name][3] = tensors[name][5]
        elif name.endswith("layers.0.fc2.weight"):
            tensors[name][:, 3] = tensors[name][:, 5]
    with pytest.raises(NotSymmetric, match=r"two units of .*layers\.0\.fc1.* are equal"):
        scramble(full_stack(), hidden_units(tensors)[0], tensors)
