"""What a symmetric form leaves out, slot by slot, for people to look at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from freebits_codecs.container.reader import ContainerReader
from freebits_codecs.dtype import DTYPES
from freebits_codecs.errors import CorruptContainer
from freebits_codecs.symmetry.bits_back import MAX_SIZE
from freebits_codecs.symmetry.expansion import OpenForm
from freebits_codecs.symmetry.floats import FLOAT_TYPES
from freebits_codecs.symmetry.form import Recipe
from freebits_codecs.symmetry.priors import PRIORS, WORD_NBITS, EntropyPrior, WordPrior
from freebits_codecs.symmetry.rotations import entry_count

HIDDEN, TURN = "hidden", "turn"


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """One step of a recipe.

    `kind` is "triangle", "polar" or "pivots" for a tensor made of `numbers` numbers instead of `of`; "hidden" for one
    of `of` numbers that is on the bit stack only; "turn" for a rotation of `size` rows, found in `tensors`, which
    gives `numbers` numbers back for `correction_bits` bits, `exceptions` of them in full.
    """

    kind: str
    tensors: tuple[str, ...]
    size: int
    numbers: int
    of: int
    popped_bits: int = 0
    correction_bits: int = 0
    exceptions: int = 0


def slot_facts(reader: ContainerReader) -> tuple[SlotFacts, ...]:
    """The slots of a container that was opened as a symmetric form. Raises CorruptContainer."""
    form = OpenForm(reader)
    facts = [_of_made(form, name, step) for name, step in _object(form.recipe.get("made", {})).items()]
    stack = _object(form.recipe.get("stack", {}))
    facts += [_of_step(form, _object(step), str(stack.get("prior"))) for step in _list(stack.get("steps", []))]
    return tuple(facts)


def _of_made(form: OpenForm, name: str, value: object) -> SlotFacts:
    form.hidden(name)
    shape, step = form.plain[name].shape, _object(value)
    _, stored = form.described(step.get("part"))
    return SlotFacts(str(step.get("as")), (name,), min(shape, default=0), math.prod(stored), math.prod(shape))


def _of_step(form: OpenForm, step: Recipe, prior: str) -> SlotFacts:
    if "push" in step:
        _, count = form.hidden(step["push"])
        return SlotFacts(HIDDEN, (step["push"],), 0, 0, count)
    kind, size = FLOAT_TYPES.get(str(step.get("dtype"))), step.get("size")
    if kind is None or prior not in PRIORS or type(size) is not int or not 1 <= size <= MAX_SIZE:
        raise CorruptContainer("turn of the recipe", found=str(step)[:80], expected="a dtype and a size")
    entries, exceptions = entry_count(size), math.prod(form.described(step.get("positions"))[1])
    return SlotFacts(
        TURN,
        tuple(str(anchor[0]) for anchor in map(_list, _list(step.get("anchors"))) if anchor),
        size,
        entries,
        entries,
        entries * (WORD_NBITS if prior == WordPrior.name else EntropyPrior(kind).entry_bits()),
        sum(_nbits(form, step.get(key)) for key in ("corrections", "positions", "ordinals", "eigenvalues")),
        exceptions,
    )


def _nbits(form: OpenForm, part: object) -> int:
    dtype, shape = form.described(part)
    return 8 * DTYPES[dtype].itemsize * math.prod(shape)


def _object(value: object) -> Recipe:
    if not isinstance(value, dict):
        raise CorruptContainer("recipe", found=type(value).__name__, expected="an object")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise CorruptContainer("recipe", found=type(value).__name__, expected="a list")
    return value
