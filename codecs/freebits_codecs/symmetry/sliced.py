"""Variants of a sliced transformer: bits-back over its slots, and the two gauges.

All walk the slots in the order of the forward pass and choose a rotation for each; the shortcut between two slots is
complete when both are chosen.

- **Bits-back**: the rotation is popped off the stack, and the shortcut is pushed on it.
- **Triangular gauge**: the rotation makes the shortcut lower triangular; d (d - 1) / 2 zeros need not be stored.
- **Polar gauge**: a shortcut is the corner of an orthogonal matrix, so 2 d - D of its singular values are 1. The
  rotation makes it symmetric, P = I - V V^T, with V of D - d columns, which may in turn be made lower trapezoidal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from freebits_codecs.errors import NotSymmetric
from freebits_codecs.symmetry.bits_back import HidingStack, Outcome
from freebits_codecs.symmetry.checkpoint import Checkpoint
from freebits_codecs.symmetry.floats import Array
from freebits_codecs.symmetry.form import Parts
from freebits_codecs.symmetry.polar import polar_gauge, store_polar
from freebits_codecs.symmetry.structure import Slot
from freebits_codecs.symmetry.triangular import store_triangle, triangular_gauge
from freebits_codecs.symmetry.turning import Turner


def bits_back(slots: list[Slot], turner: Turner, parts: Parts, prior: str, done: Callable[[int], None]) -> Outcome:
    """Hide the shortcuts behind rotations. The first and the last slot stay as they are."""
    source, stack = turner.source, HidingStack(prior, turner.algebra, parts)
    turnable = _turnable(source, slots)
    turner.turn_members(slots[0], None)
    for reader in slots[0].reads:
        stack.offer(reader, source.float_type(reader), partial(source.words, reader))
    left: Array | None = None
    for s in range(1, len(slots)):
        slot, name = slots[s], slots[s].before
        assert name is not None
        right = _turn_slot(stack, slot, turner) if turnable[s] and s < len(slots) - 1 else None
        if right is None:
            turner.turn_members(slot, None)
        turner.turn(name, left, right)
        stack.offer(name, source.float_type(name), partial(turner.stored, name))
        left = right
        done(_slot_nbytes(source, slot))
    return stack.finish({})


def triangular(slots: list[Slot], turner: Turner, parts: Parts, done: Callable[[int], None]) -> Outcome:
    """Make every shortcut lower triangular."""
    return _gauge(slots, turner, parts, done, lambda _: triangular_gauge)


def polar(slots: list[Slot], turner: Turner, parts: Parts, done: Callable[[int], None]) -> Outcome:
    """Make every shortcut I - V V^T, or lower triangular where it is not the corner of an orthogonal matrix."""
    return _gauge(slots, turner, parts, done, lambda kind: partial(polar_gauge, unit=kind.unit))


def _gauge(slots: list[Slot], turner: Turner, parts: Parts, done: Callable[[int], None], choose: Any) -> Outcome:
    source = turner.source
    for slot in slots[1:]:
        _check_finite(source, [*slot.members, *([slot.before] if slot.before else [])])
    recipe: dict[str, Any] = {}
    forms: dict[str, int] = {}
    left: Array | None = None
    turner.turn_members(slots[0], None)
    for slot in slots[1:]:
        name = slot.before
        assert name is not None
        kind = source.float_type(name)
        gauge = choose(kind)(turner.turned(name, left, None), turner.algebra)
        store = store_triangle if gauge.factor is None else store_polar
        recipe[name] = store(name, gauge, turner, parts)
        forms[recipe[name]["as"]] = forms.get(recipe[name]["as"], 0) + 1
        turner.turn_members(slot, gauge.rotation)
        left = gauge.rotation
        done(_slot_nbytes(source, slot))
    return Outcome(list(recipe), {"made": recipe}, {"shortcuts": forms})


def _turn_slot(stack: HidingStack, slot: Slot, turner: Turner) -> Array | None:
    """Turn the slot by a popped rotation; None when that could not be, and nothing holds."""
    source, algebra = turner.source, turner.algebra
    kind = source.float_type(slot.reads[0])

    def stored_gram() -> Array:
        return algebra.gram(kind.values(turner.stored(name)) for name in slot.reads)

    def apply(rotation: Array) -> Callable[[], Array]:
        turner.turn_members(slot, rotation)
        return stored_gram

    anchors = [(name, 1) for name in slot.reads]
    return stack.turn(anchors, slot.size, kind, lambda: algebra.gram(source.values(name) for name in slot.reads), apply)


def _turnable(source: Checkpoint, slots: Iterable[Slot]) -> list[bool]:
    """Per slot, whether its tensors and shortcuts are all finite and of one dtype."""
    answers = []
    for slot in slots:
        names = [*slot.members, *(name for name in (slot.before, slot.after) if name)]
        kinds = {source.dtype(name) for name in names}
        answers.append(len(kinds) == 1 and all(source.float_type(n).is_finite(source.words(n)) for n in names))
    return answers


def _check_finite(source: Checkpoint, names: Iterable[str]) -> None:
    for name in names:
        if not source.float_type(name).is_finite(source.words(name)):
            raise NotSymmetric(f"{name} holds NaN or infinity", "repair the checkpoint or leave it as it is")


def _slot_nbytes(source: Checkpoint, slot: Slot) -> int:
    return sum(source.nbytes(name) for name in [*slot.members, slot.before] if name)
