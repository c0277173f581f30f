"""What a symmetric form leaves out, slot by slot, for people to look at."""

from __future__ import annotations

import math
from dataclasses import dataclass

from freebits_codecs.container.reader import ContainerReader
from freebits_codecs.symmetry.expansion import OpenForm
from freebits_codecs.symmetry.floats import FLOAT_TYPES
from freebits_codecs.symmetry.priors import PRIORS
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
    facts = [_of_made(form, name, step) for name, step in form.recipe.get("made", {}).items()]
    stack = form.recipe.get("stack", {})
    facts += [_of_step(form, step, stack["prior"]) for step in stack.get("steps", ())]
    return tuple(facts)


def _of_made(form: OpenForm, name: str, step: dict[str, str]) -> SlotFacts:
    shape = form.plain[name].shape
    stored = math.prod(form.entries[step["part"]].shape)
    return SlotFacts(step["as"], (name,), min(shape), stored, math.prod(shape))


def _of_step(form: OpenForm, step: dict[str, object], prior: str) -> SlotFacts:
    if "push" in step:
        _, count = form.hidden(step["push"])
        return SlotFacts(HIDDEN, (str(step["push"]),), 0, 0, count)
    size, exceptions = int(str(step["size"])), form.nbytes_of(step["positions"]) // 4
    entries = entry_count(size)
    bits = PRIORS[prior](FLOAT_TYPES[str(step["dtype"])]).entry_bits()
    parts = sum(form.nbytes_of(step[key]) for key in ("corrections", "positions", "ordinals", "eigenvalues"))
    anchors = step["anchors"]
    assert isinstance(anchors, list)
    names = tuple(str(name) for name, _ in anchors)
    return SlotFacts(TURN, names, size, entries, entries, entries * bits, 8 * parts, exceptions)
