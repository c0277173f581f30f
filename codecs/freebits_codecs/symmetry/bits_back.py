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

from freebits_codecs.errors import CorruptContainer, NotSymmetric
from freebits_codecs.symmetry.algebra import Algebra
from freebits_codecs.symmetry.bit_stack import BitStack
from freebits_codecs.symmetry.corrections import Corrections
from freebits_codecs.symmetry.floats import FLOAT_TYPES, Array, FloatType, Words
from freebits_codecs.symmetry.form import Parts, Recipe
from freebits_codecs.symmetry.priors import PRIORS, WORD_NBITS, EntropyPrior, Prior, WordPrior
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

MAX_SIZE = 1 << 16
"""Rows of a turn."""

MAX_EIGENVALUE = 2.0**128
"""No sum of their products leaves the range of float64."""

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
class Outcome:
    """What a method made of the tensors: those it hid, and how to make them again."""

    hidden: list[str]
    recipe: Recipe
    facts: dict[str, Any]
    gain: Gain | None = None


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

    def finish(self, facts: dict[str, Any]) -> Outcome:
        """Store the stack as a part. Raises NotSymmetric when nothing was turned."""
        if not self.gain.turns:
            raise NotSymmetric(
                f"none of {self.gain.places} rotations would give back more bits than it costs",
                "keep the checkpoint as it is",
            )
        if self.prior_name == WordPrior.name:
            kind = FLOAT_TYPES[next(str(step["dtype"]) for step in self._steps if "dtype" in step)]
            part = self.parts.add("stack", _stack_as_words(self._stack, kind.width).astype(kind.word), kind.name)
        else:
            part = self.parts.add("stack", self._stack.words())
        hidden = [step["push"] for step in self._steps if "push" in step]
        record = {"prior": self.prior_name, "part": part, "steps": self._steps}
        return Outcome(hidden, {"stack": record}, {"prior": self.prior_name, **facts}, self.gain)

    def _fill(self, nbits: int, kind: FloatType) -> bool:
        """Hide offered tensors of that dtype, the last first, until there are `nbits` bits; whether there are."""
        while self._stack.nbits < nbits:
            offer = next((offer for offer in reversed(self._offers) if offer.kind == kind), None)
            if offer is None:
                return False
            self._offers.remove(offer)
            words = offer.words().reshape(-1)
            if self.prior_name == WordPrior.name and not kind.is_finite(words):
                continue  # they would come back as entries of a matrix
            table = self._prior(kind).push(self._stack, words)
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


def _stack_as_words(stack: BitStack, width: int) -> NDArray[np.uint32]:
    """All of a stack of words, the last pushed first; the zeros it begins with are left out."""
    words = stack.pop_bits(-(-stack.nbits // width), width)
    filled = np.flatnonzero(words)
    return words[: filled[-1] + 1 if filled.size else 0]


class FormTensors(Protocol):
    """What decoding reads; names come from a recipe, which may be anything."""

    def part(self, name: object, *dtypes: str) -> Words:
        """A part of one of these dtypes, as words. Raises CorruptContainer."""
        ...

    def kept(self, name: object) -> Words:
        """A kept matrix of floats. Raises CorruptContainer."""
        ...

    def hidden(self, name: object) -> tuple[FloatType, int]:
        """Dtype and element count of a tensor that is not kept. Raises CorruptContainer."""
        ...


def reveal(record: Record, tensors: FormTensors, algebra: Algebra) -> Iterator[tuple[str, Words]]:
    """The hidden tensors, flat, the last pushed one first. Raises CorruptContainer."""
    prior, steps = record.get("prior"), record.get("steps")
    if prior not in list(PRIORS) or not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise CorruptContainer("stack", found=repr(prior)[:80], expected=f"one of {sorted(PRIORS)}, and steps")
    stack, used = _opened(str(prior), record, tensors), set[str]()
    for step in reversed(steps):
        if "push" in step:
            kind, count = tensors.hidden(step["push"])
            yield step["push"], _prior_of(prior, kind).pop(stack, count, step)
        else:
            _turn_back(stack, prior, step, tensors, algebra, used)
    stack.expect_end("bit stack")


def _opened(prior: str, record: Record, tensors: FormTensors) -> BitStack:
    if prior == EntropyPrior.name:
        return BitStack(_flat(tensors, record.get("part"), "U32"))
    stack = BitStack()
    stack.push_bits(_flat(tensors, record.get("part"), "F16", "BF16").astype(np.uint32), WORD_NBITS)
    return stack


def _prior_of(name: str, kind: FloatType) -> Prior:
    if name == WordPrior.name and kind.width != WORD_NBITS:
        raise CorruptContainer("dtype on a stack of words", found=kind.name, expected="F16 or BF16")
    return PRIORS[name](kind)


def _flat(tensors: FormTensors, name: object, *dtypes: str) -> Words:
    array = tensors.part(name, *dtypes)
    if array.ndim != 1:
        raise CorruptContainer(f"part {name}"[:80], found=array.shape, expected="one dimension")
    return array


def _turn_back(
    stack: BitStack, prior_name: str, step: Record, tensors: FormTensors, algebra: Algebra, used: set[str]
) -> None:
    kind = FLOAT_TYPES.get(str(step.get("dtype")))
    size, weights, reach = step.get("size"), step.get("weights"), step.get("reach")
    anchors = step.get("anchors")
    if kind is None or type(size) is not int or not isinstance(anchors, list) or not isinstance(weights, list):
        raise CorruptContainer(
            "turn of the recipe", found=str(sorted(step))[:80], expected="dtype, size, anchors and weights"
        )
    if type(reach) is not int:
        raise CorruptContainer("reach of corrections", found=repr(reach)[:80], expected="a whole number")
    prior = _prior_of(prior_name, kind)
    blocks = [_anchor_block(anchor, size, kind, tensors, used) for anchor in anchors]
    if sum(map(len, blocks)) < size or not 1 <= size <= MAX_SIZE:
        raise CorruptContainer("rows of anchors", found=sum(map(len, blocks)), expected=f"{size} or more")
    corrections = Corrections(
        reach,
        weights,
        _flat(tensors, step.get("corrections"), "U32"),
        _flat(tensors, step.get("positions"), "U32"),
        _flat(tensors, step.get("ordinals"), "I32").view("<i4"),
    )
    eigenvalues = _eigenvalues(step, size, kind, tensors)
    push_rotation(stack, prior, algebra.gram(blocks), eigenvalues, corrections, algebra)


def _eigenvalues(step: Record, size: int, kind: FloatType, tensors: FormTensors) -> Eigenvalues:
    words = _flat(tensors, step.get("eigenvalues"), "F32" if kind.width == 16 else "F64")
    eigenvalues: Eigenvalues = words.view(kind.precise)
    if eigenvalues.shape != (size,) or not (np.abs(eigenvalues.astype(np.float64)) <= MAX_EIGENVALUE).all():
        raise CorruptContainer(
            "eigenvalues", found=eigenvalues.shape, expected=f"({size},), at most {MAX_EIGENVALUE:g}"
        )
    return eigenvalues


def _anchor_block(anchor: object, size: int, kind: FloatType, tensors: FormTensors, used: set[str]) -> Array:
    """An anchor as float64 with the turned axis as columns; no tensor may be `used` twice."""
    match anchor:
        case [str(name), int(axis)] if axis in (0, 1) and type(axis) is int and name not in used:
            words = tensors.kept(name)
        case _:
            raise CorruptContainer(
                "anchor", found=repr(anchor)[:80], expected="a name that no other anchor has, and axis 0 or 1"
            )
    used.add(name)
    if words.shape[axis] != size or words.dtype != kind.word or not kind.is_finite(words):
        raise CorruptContainer("anchor", found=words.shape, expected=f"{size} along axis {axis}, finite {kind.name}")
    values = kind.values(words)
    return values if axis == 1 else np.ascontiguousarray(values.T)
