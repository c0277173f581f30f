"""Savings and times on the shapes of published models, one slot at a time: no such model fits here whole."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache

import numpy as np
from markdown_table import markdown
from sliced_shapes import PAPER, PAPER_CPU_MINUTES, SHAPES, SLICINGS, Array, Shape, WeightMaker

from freebits_codecs.symmetry.algebra import NumpyAlgebra
from freebits_codecs.symmetry.bit_stack import BitStack
from freebits_codecs.symmetry.floats import FLOAT_TYPES
from freebits_codecs.symmetry.polar import polar_gauge
from freebits_codecs.symmetry.priors import PRIORS
from freebits_codecs.symmetry.rotations import correct_rotation, entry_count, pop_rotation, push_rotation

KIND = FLOAT_TYPES["F16"]
ALGEBRA = NumpyAlgebra()
WIDTHS_TIMED = (2048, 4096, 5120)


@dataclass(frozen=True, slots=True)
class Turn:
    """One bits-back turn: bits that came back and that correcting took, and seconds."""

    popped_bits: int
    correction_bits: int
    eigenvalue_bits: int
    encode_s: float
    decode_s: float

    @property
    def net_bits(self) -> int:
        return self.popped_bits - self.correction_bits - self.eigenvalue_bits


def one_turn(maker: WeightMaker, prior_name: str) -> Turn:
    """Turn the slot that attention reads: Q, K, V and the weights that write it, as a variant does."""
    prior = PRIORS[prior_name](KIND)
    hidden, size = maker.shape.hidden, maker.kept
    reads = [KIND.rounded(maker.linear(hidden, size)) for _ in range(3)]
    writes = KIND.rounded(maker.linear(size, maker.shape.inner))
    stack = BitStack()
    for _ in range(2):
        prior.push(stack, KIND.rounded(maker.shortcut(size)).reshape(-1))
    bits, words = stack.nbits, stack.words()
    began = time.perf_counter()
    popped = pop_rotation(stack, prior, size, ALGEBRA)
    _, canonical = ALGEBRA.eigh(ALGEBRA.gram(KIND.values(read) for read in reads))
    rotation = canonical @ popped.rotation.T
    turned = [KIND.rounded(KIND.values(read) @ rotation) for read in reads]
    KIND.rounded(rotation.T @ KIND.values(writes))
    gram = ALGEBRA.gram(KIND.values(read) for read in turned)
    corrections = correct_rotation(prior, gram, popped, ALGEBRA)
    assert corrections is not None
    encoded = time.perf_counter()
    popped_bits = bits - stack.nbits
    gram = ALGEBRA.gram(KIND.values(read) for read in turned)
    push_rotation(stack, prior, gram, popped.eigenvalues, corrections, ALGEBRA)
    decoded = time.perf_counter()
    if not np.array_equal(stack.words(), words):
        raise AssertionError("the stack was not restored")
    return Turn(popped_bits, corrections.nbits, 8 * popped.eigenvalues.nbytes, encoded - began, decoded - encoded)


@cache
def measured_turn(shape: Shape, kept: int, prior: str) -> Turn:
    return one_turn(WeightMaker(np.random.default_rng(kept), shape, kept), prior)


def savings_table() -> str:
    """Per cent of the dense model's bytes at 16 bits per number, as the paper counts."""
    heads = ["model", "slicing", "d", "sliced", "paper", "+ bits-back, paper", "gross", "+ bits-back, exact"]
    heads += ["correction bits / number", "+ triangular", "+ polar", "rank D - d"]
    rows = []
    for shape in SHAPES:
        for slicing, paper in zip(SLICINGS, PAPER[shape.name], strict=True):
            kept, dense = shape.kept(slicing), shape.parameters()
            turn = measured_turn(shape, kept, "words")
            turns = 2 * shape.layers - 1
            last = kept * shape.hidden
            rank = measured_rank(shape, kept)
            triangular = turns * kept * (kept - 1) // 2 + last - entry_count(kept)
            polar = turns * (kept * kept - (kept * rank - rank * (rank - 1) // 2)) + last
            percent = (
                100 * (1 - shape.sliced_parameters(kept) / dense),
                paper[0],
                paper[1] - paper[0],
                100 * turns * kept * (kept - 1) / 2 / dense,
                100 * turns * turn.net_bits / 16 / dense,
                turn.correction_bits / entry_count(kept),
                100 * triangular / dense,
                100 * polar / dense,
            )
            facts = [f"{value:.2f}" for value in percent]
            rows.append([shape.name, f"{slicing} %", str(kept), *facts, str(rank)])
    return markdown("Saved, per cent of the dense model (F16, raw arrays)", heads, rows)


def measured_rank(shape: Shape, kept: int) -> int:
    """Columns of V for a shortcut that was rounded to F16; measured up to a width of 2048, as it is slow beyond."""
    if kept > WIDTHS_TIMED[0]:
        return shape.hidden - kept
    maker = WeightMaker(np.random.default_rng(kept), shape, kept)
    gauge = polar_gauge(KIND.values(KIND.rounded(maker.shortcut(kept))), ALGEBRA, KIND.unit)
    if gauge.factor is None:
        raise AssertionError(f"no polar gauge at d = {kept}")
    return gauge.factor.shape[1]


def times_table() -> str:
    """Seconds of one turn, and of a whole model, beside the paper's."""
    heads = ["d", "encode a turn, s", "decode a turn, s", "polar gauge, s", "polar, make again, s", "model at 20 %"]
    heads += ["encode all, min", "paper", "decode all, min", "paper"]
    rows = []
    for kept in WIDTHS_TIMED:
        shape = next((shape for shape in SHAPES if shape.kept(20) == kept), SHAPES[3])
        turn = measured_turn(shape, kept, "entropy") if kept != shape.hidden else unsliced_turn(shape)
        gauge_s, make_s = polar_times(shape, kept)
        times = [f"{turn.encode_s:.1f}", f"{turn.decode_s:.1f}", f"{gauge_s:.1f}", f"{make_s:.1f}"]
        rows.append([str(kept), *times, *whole_model(shape, kept, turn)])
    return markdown("Time on all cores, numpy", heads, rows)


def unsliced_turn(shape: Shape) -> Turn:
    """At d = D, more than any slicing leaves."""
    return one_turn(WeightMaker(np.random.default_rng(shape.hidden), shape, shape.hidden), "entropy")


def whole_model(shape: Shape, kept: int, turn: Turn) -> list[str]:
    if shape.kept(20) != kept:
        return ["-"] * 5
    turns = 2 * shape.layers - 1
    encode_min, decode_min = PAPER_CPU_MINUTES[shape.name]
    all_turns = (turns * turn.encode_s / 60, turns * turn.decode_s / 60)
    return [shape.name, f"{all_turns[0]:.1f}", f"{encode_min:.1f}", f"{all_turns[1]:.1f}", f"{decode_min:.1f}"]


def polar_times(shape: Shape, kept: int) -> tuple[float, float]:
    """Finding the gauge of one shortcut, and making the shortcut from V."""
    hidden = shape.hidden if kept < shape.hidden else kept * 5 // 4
    rng = np.random.default_rng(kept)
    wide = WeightMaker(rng, Shape("", hidden, 1, 1, 1), kept)
    corner: Array = wide.shortcut(kept)
    began = time.perf_counter()
    gauge = polar_gauge(corner, ALGEBRA, KIND.unit)
    found = time.perf_counter()
    assert gauge.factor is not None
    KIND.rounded(np.eye(kept) - gauge.factor @ gauge.factor.T)
    return found - began, time.perf_counter() - found
