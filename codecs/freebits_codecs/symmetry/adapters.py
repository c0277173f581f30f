"""LoRA adapters: which tensors are pairs, and bits-back over a chain of pairs that hide each other's B."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from freebits_codecs.errors import NotSymmetric
from freebits_codecs.symmetry.bits_back import HidingStack, Outcome
from freebits_codecs.symmetry.checkpoint import Checkpoint
from freebits_codecs.symmetry.floats import Array
from freebits_codecs.symmetry.form import Parts
from freebits_codecs.symmetry.turning import Turner

MAX_RANK = 1024
_NAMES = (
    (re.compile(r"\.lora_A\."), ".lora_B."),
    (re.compile(r"\.lora_embedding_A\b"), ".lora_embedding_B"),
    (re.compile(r"\.lora_down\."), ".lora_up."),
    (re.compile(r"\bw_a_(?=\d+$)"), "w_b_"),
)
"""How PEFT, kohya's tools and Sam_LoRA call A, and what B is called then."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Names of A (r, n) and B (m, r), and r."""

    a: str
    b: str
    rank: int


def find_pairs(checkpoint: Checkpoint) -> list[Pair]:
    """The adapter pairs, in the order of the files. Raises NotSymmetric when there are none."""
    pairs = list(_pairs(checkpoint))
    if not pairs:
        raise NotSymmetric(
            "no two tensors are called like a LoRA pair (lora_A and lora_B, lora_down and lora_up, w_a and w_b)",
            "name a revision that holds an adapter",
        )
    return pairs


def _pairs(checkpoint: Checkpoint) -> Iterator[Pair]:
    for a in checkpoint.names():
        for pattern, replacement in _NAMES:
            b = pattern.sub(replacement, a)
            if b == a or b not in checkpoint:
                continue
            (shape_a, shape_b) = checkpoint.shape(a), checkpoint.shape(b)
            if len(shape_a) == len(shape_b) == 2 and shape_a[0] == shape_b[1] and 0 < shape_a[0] <= MAX_RANK:
                yield Pair(a, b, shape_a[0])


def adapter_bits_back(
    pairs: list[Pair], turner: Turner, parts: Parts, prior: str, done: Callable[[int], None]
) -> Outcome:
    """Turn every pair by a rotation popped off the stack and hide its B; the first ones give the bits."""
    source, algebra = turner.source, turner.algebra
    stack = HidingStack(prior, algebra, parts)
    for pair in pairs:
        if not _turn_pair(stack, pair, turner):
            turner.keep(pair.a)
            turner.keep(pair.b)
        stack.offer(pair.b, source.float_type(pair.b), partial(turner.stored, pair.b))
        done(source.nbytes(pair.a) + source.nbytes(pair.b))
    return stack.finish({"pairs": len(pairs)})


def _turn_pair(stack: HidingStack, pair: Pair, turner: Turner) -> bool:
    source, algebra = turner.source, turner.algebra
    kind = source.float_type(pair.a)
    is_usable = source.float_type(pair.b) == kind and all(
        kind.is_finite(source.words(name)) for name in (pair.a, pair.b)
    )
    if not is_usable or source.shape(pair.a)[1] < pair.rank:
        return False

    def gram(values: Array) -> Array:
        return algebra.gram([np.ascontiguousarray(values.T)])

    def apply(rotation: Array) -> Callable[[], Array]:
        turner.store(pair.a, algebra.product(np.ascontiguousarray(rotation.T), source.values(pair.a)))
        turner.turn(pair.b, right=rotation)
        return lambda: gram(kind.values(turner.stored(pair.a)))

    turned = stack.turn([(pair.a, 0)], pair.rank, kind, lambda: gram(source.values(pair.a)), apply)
    return turned is not None
