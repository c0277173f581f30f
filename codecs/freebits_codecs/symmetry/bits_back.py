"""Bits-back over a chain of turns: the stack that hides one tensor after another and chooses the rotations.

Encoding, for every turn: pop a rotation off the stack, turn the tensors of the place by it, push the tensor that is
complete now. Decoding goes backwards: pop the tensor, find the rotation in the `anchors`, which are stored plainly, and
push it back. What was pushed is *hidden*: it is nowhere but on the stack. The popped tensors are already the turned
ones, so nothing is turned back and every stored value was rounded once.

A sliced transformer hides its shortcuts, a chain of adapters its B matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from freebits_codecs.errors import CorruptContainer
from freebits_codecs.symmetry.algebra import Algebra
from freebits_codecs.symmetry.bit_stack import BitStack
from freebits_codecs.symmetry.corrections import Corrections
from freebits_codecs.symmetry.floats import FLOAT_TYPES, Array, FloatType, Words
from freebits_codecs.symmetry.form import Parts
from freebits_codecs.symmetry.priors import PRIORS, Prior
from freebits_codecs.symmetry.rotations import (
    Eigenvalues,
    PoppedRotation,
    correct_rotation,
    entry_count,
    pop_rotation,
    push_rotation,
)

STACK_SLACK_BITS = 64
"""A stack is never popped to its last bits: below them it gives zeros."""

TURN_OVERHEAD_BITS = 2000
"""What a turn costs in the recipe beside its tables: names, offsets, shapes."""

Anchor = tuple[str, int]
"""A tensor and the axis of it that is turned: 0 rows, 1 columns."""

Record = dict[str, Any]


@dataclass(slots=True)
class Gain:
    """What the turns of one file brought, in bits; `turns` of `places` were possible."""

    places: int = 0
    turns: int = 0
    entries: int = 0
    popped_bits: int = 0
    correction_bits: int = 0
    eigenvalue_bits: int = 0

    @property
    def net_bits(self) -> int:
        return self.popped_bits - self.correction_bits - self.eigenvalue_bits


@dataclass(frozen=True, slots=True)
class Offer:
    """A tensor that may be hidden; `words()` are its final values."""

    name: str
    kind: FloatType
    words: Callable[[], Words]


@dataclass(slots=True)
class HidingStack:
    """The encoder's side: `offer` and `turn` in the order of the chain, then `finish`.

    Only as many of the offered tensors are hidden as the rotations need bits; the others can be read without decoding.
    """

    prior_name: str
    algebra: Algebra
    parts: Parts
    gain: Gain = field(default_factory=Gain)
    _stack: BitStack = field(default_factory=BitStack)
    _steps: list[Record] = field(default_factory=list)
    _offers: list[Offer] = field(default_factory=list)

    @property
    def hidden(self) -> list[str]:
        """Names of what was pushed."""
        return [step["push"] for step in self._steps if "push" in step]

    def offer(self, name: str, kind: FloatType, words: Callable[[], Words]) -> None:
        """Let a tensor be hidden from now on: it has its final values, and no turn that comes has it as an anchor."""
        self._offers.append(Offer(name, kind, words))

    def turn(
        self,
        anchors: Sequence[Anchor],
        size: int,
        kind: FloatType,
        gram: Callable[[], Array],
        apply: Callable[[Array], Callable[[], Array]],
    ) -> Array | None:
        """Pop a rotation, apply it, and keep what is needed to push it back; the rotation (d, d), or None.

        `gram()` is that of the anchors as they are; `apply(rotation)` turns and stores them and returns what gives
        their Gram matrix as stored. None: there are too few bits, the anchors do not tell the directions apart, or it
        would not pay; whatever was applied must be undone.
        """
        self.gain.places += 1
        prior = self._prior(kind)
        if not self._fill(entry_count(size) * prior.entry_bits() + STACK_SLACK_BITS, kind):
            return None
        before = self._stack.nbits
        popped = pop_rotation(self._stack, prior, size, self.algebra)
        popped_bits = before - self._stack.nbits
        _, canonical = self.algebra.eigh(gram())
        rotation = self.algebra.product(canonical, np.ascontiguousarray(popped.rotation.T))
        corrections = correct_rotation(prior, apply(rotation)(), popped, self.algebra)
        if corrections is None or not self._pays(popped, popped_bits, corrections):
            prior.push_entries(self._stack, popped.entries)
            return None
        self._steps.append(self._record(anchors, size, kind, popped, corrections))
        self.gain.turns += 1
        self.gain.entries += entry_count(size)
        self.gain.popped_bits += popped_bits
        self.gain.correction_bits += corrections.nbits
        self.gain.eigenvalue_bits += 8 * popped.eigenvalues.nbytes
        return rotation

    def finish(self) -> Record:
        """Store the stack as a part; the recipe's entry."""
        if self.prior_name == "words":
            kind = FLOAT_TYPES[_dtype_of({"steps": self._steps})]
            words = self._stack.pop_bits(self._stack.nbits // kind.width, kind.width).astype(kind.word)
            part = self.parts.add("stack", words, kind.name)
        else:
            part = self.parts.add("stack", self._stack.words())
        return {"prior": self.prior_name, "part": part, "steps": self._steps}

    def _fill(self, nbits: int, kind: FloatType) -> bool:
        """Hide offered tensors of that dtype, the last first, until there are `nbits` bits; whether there are."""
        while self._stack.nbits < nbits:
            offer = next((offer for offer in reversed(self._offers) if offer.kind == kind), None)
            if offer is None:
                return False
            self._offers.remove(offer)
            table = self._prior(kind).push(self._stack, offer.words().reshape(-1))
            self._steps.append({"push": offer.name, **table})
        return True

    def _prior(self, kind: FloatType) -> Prior:
        return PRIORS[self.prior_name](kind)

    @staticmethod
    def _pays(popped: PoppedRotation, popped_bits: int, corrections: Corrections) -> bool:
        return popped_bits > corrections.nbits + 8 * popped.eigenvalues.nbytes + TURN_OVERHEAD_BITS

    def _record(
        self, anchors: Sequence[Anchor], size: int, kind: FloatType, popped: PoppedRotation, corrections: Corrections
    ) -> Record:
        number = sum("anchors" in step for step in self._steps)
        return {
            "anchors": [list(anchor) for anchor in anchors],
            "size": size,
            "dtype": kind.name,
            "reach": corrections.reach,
            "weights": corrections.weights,
            "eigenvalues": self.parts.add(f"eigenvalues.{number}", popped.eigenvalues),
            "corrections": self.parts.add(f"corrections.{number}", corrections.stream),
            "positions": self.parts.add(f"positions.{number}", corrections.positions),
            "ordinals": self.parts.add(f"ordinals.{number}", corrections.ordinals),
        }


class FormTensors(Protocol):
    """What decoding reads; names come from a recipe, which may be anything."""

    def part(self, name: object, dtype: str) -> NDArray[Any]:
        """A part of that dtype. Raises CorruptContainer."""
        ...

    def kept(self, name: object) -> Words:
        """A kept tensor of floats, in its shape. Raises CorruptContainer."""
        ...

    def hidden(self, name: object) -> tuple[FloatType, int]:
        """Dtype and element count of a tensor that is not kept. Raises CorruptContainer."""
        ...


def reveal(record: Record, tensors: FormTensors, algebra: Algebra) -> Iterator[tuple[str, Words]]:
    """The hidden tensors, flat, the last pushed one first. Raises CorruptContainer."""
    prior_name, steps = record.get("prior"), record.get("steps")
    if prior_name not in PRIORS or not isinstance(steps, list):
        raise CorruptContainer("stack of the recipe", found=prior_name, expected=f"one of {sorted(PRIORS)} and steps")
    stack = _opened(str(prior_name), record, tensors)
    for step in reversed(steps):
        if "push" in step:
            kind, count = tensors.hidden(step["push"])
            yield str(step["push"]), PRIORS[str(prior_name)](kind).pop(stack, count, step)
        else:
            _turn_back(stack, str(prior_name), step, tensors, algebra)


def _opened(prior_name: str, record: Record, tensors: FormTensors) -> BitStack:
    if prior_name == "entropy":
        return BitStack(tensors.part(record.get("part"), "U32"))
    kind = FLOAT_TYPES[_dtype_of(record)]
    stack = BitStack()
    stack.push_bits(tensors.part(record.get("part"), kind.name).astype(np.uint32), kind.width)
    return stack


def _dtype_of(record: Record) -> str:
    """All turns of a stack of words are of one dtype."""
    for step in record["steps"]:
        if "dtype" in step:
            return str(step["dtype"])
    raise CorruptContainer("stack of words", found="no turn", expected="at least one")


def _turn_back(stack: BitStack, prior_name: str, step: Record, tensors: FormTensors, algebra: Algebra) -> None:
    kind = FLOAT_TYPES.get(str(step.get("dtype")))
    size, weights, reach = step.get("size"), step.get("weights"), step.get("reach")
    anchors = step.get("anchors")
    if kind is None or not isinstance(size, int) or not isinstance(anchors, list) or not isinstance(weights, list):
        raise CorruptContainer("turn of the recipe", found=sorted(step), expected="dtype, size, anchors and weights")
    if type(reach) is not int:
        raise CorruptContainer("reach of corrections", found=reach, expected="a whole number")
    blocks = [_anchor_block(anchor, size, kind, tensors) for anchor in anchors]
    eigenvalues: Eigenvalues = tensors.part(step.get("eigenvalues"), "F32" if kind.width == 16 else "F64")
    if eigenvalues.shape != (size,) or not np.isfinite(eigenvalues).all():
        raise CorruptContainer("eigenvalues", found=eigenvalues.shape, expected=f"({size},), finite")
    corrections = Corrections(
        reach,
        weights,
        tensors.part(step.get("corrections"), "U32"),
        tensors.part(step.get("positions"), "U32"),
        tensors.part(step.get("ordinals"), "I32"),
    )
    push_rotation(stack, PRIORS[prior_name](kind), algebra.gram(blocks), eigenvalues, corrections, algebra)


def _anchor_block(anchor: object, size: int, kind: FloatType, tensors: FormTensors) -> Array:
    """An anchor as float64 with the turned axis as columns."""
    if not isinstance(anchor, list) or len(anchor) != 2 or anchor[1] not in (0, 1):
        raise CorruptContainer("anchor", found=anchor, expected="a name and axis 0 or 1")
    words = tensors.kept(anchor[0])
    if words.ndim != 2 or words.shape[anchor[1]] != size or words.dtype != kind.word or not kind.is_finite(words):
        raise CorruptContainer(
            "anchor", found=words.shape, expected=f"{size} along axis {anchor[1]}, finite {kind.name}"
        )
    values = kind.values(words)
    return values if anchor[1] == 1 else np.ascontiguousarray(values.T)
