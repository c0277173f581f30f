"""Bits back from the order of exchangeable parts: MLP hidden units and attention heads.

A network computes the same whatever order its hidden units are in, as long as the rows of the weight before and the
columns of the weight behind move together. So the order may be any, and log2(n!) bits choose it: they are popped off a
stack, and whoever sorts the units again gets them back. No weight changes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freebits_codecs.errors import NotSymmetric
from freebits_codecs.symmetry.bit_stack import BitStack

Order = NDArray[np.intp]
Tensors = Mapping[str, NDArray[Any]]
_MLP = re.compile(
    r"^(?P<layer>.*layers\.\d+\.)(?:mlp\.)?(?P<which>fc1|gate_proj|up_proj|fc2|down_proj)\.(?P<what>weight|bias)$"
)
_ATTENTION = re.compile(
    r"^(?P<layer>.*layers\.\d+\.)self_attn\.(?P<which>[qkv]_proj|o_proj|out_proj|dense)\.(?P<what>weight|bias)$"
)
_BEHIND = ("fc2", "down_proj", "o_proj", "out_proj", "dense")
_COMPLETE = (
    {"fc1", "fc2"},
    {"gate_proj", "up_proj", "down_proj"},
    *({"q_proj", "k_proj", "v_proj", behind} for behind in ("o_proj", "out_proj", "dense")),
)
"""Weights that a layer's units have shares in. Of other sets, as with fused projections, a share would stay behind."""


@dataclass(frozen=True, slots=True)
class Share:
    """What each unit has in one tensor: `block` neighbouring rows (axis 0) or columns (axis 1)."""

    name: str
    axis: int
    block: int


@dataclass(frozen=True, slots=True)
class Exchangeable:
    """`count` units that may stand in any order, and what belongs to each."""

    count: int
    shares: tuple[Share, ...]


def pop_order(stack: BitStack, count: int) -> Order:
    """A permutation of `count` units off the stack, every one as likely: log2(count!) bits."""
    swaps = stack.pop_each(_sizes(count))
    order = np.arange(count)
    for at, swap in enumerate(swaps.tolist()):
        order[at], order[at + swap] = order[at + swap], order[at]
    return order


def push_order(stack: BitStack, order: Order) -> None:
    """Undo `pop_order`."""
    swaps, at_place, place_of = [], np.arange(len(order)), np.arange(len(order))
    for at, unit in enumerate(order[:-1].tolist()):
        found = int(place_of[unit])
        swaps.append(found - at)
        other = at_place[at]
        at_place[found], place_of[other] = other, found
    stack.push_each(np.array(swaps, np.int32), _sizes(len(order)))


def order_bits(count: int) -> float:
    """log2(count!)."""
    return math.lgamma(count + 1) / math.log(2)


def scramble(stack: BitStack, units: Exchangeable, tensors: Tensors) -> dict[str, NDArray[Any]]:
    """The tensors of `units`, sorted and then put into an order popped off the stack; the tensors are not changed.

    Raises NotSymmetric when two units are equal, since nobody could tell their order.
    """
    order = canonical_order(units, tensors)[pop_order(stack, units.count)]
    return {share.name: reorder(tensors[share.name], share, order) for share in units.shares}


def unscramble(stack: BitStack, units: Exchangeable, tensors: Tensors) -> None:
    """Push back the order that `scramble` popped, as the tensors show it."""
    rank = np.empty(units.count, np.intp)
    rank[canonical_order(units, tensors)] = np.arange(units.count)
    push_order(stack, rank)


def canonical_order(units: Exchangeable, tensors: Tensors) -> Order:
    """Which unit comes first, second and so on when they are sorted by their bytes. Raises NotSymmetric for equals."""
    keys = [_unit_bytes(tensors[share.name], share, units.count) for share in units.shares]
    rows = np.concatenate(keys, axis=1)
    names = [unit.tobytes() for unit in rows]
    order = np.array(sorted(range(units.count), key=names.__getitem__), np.intp)
    if any(names[a] == names[b] for a, b in zip(order[:-1].tolist(), order[1:].tolist(), strict=True)):
        raise NotSymmetric(f"two units of {units.shares[0].name} are equal", "leave these units in their order")
    return order


def reorder(tensor: NDArray[Any], share: Share, order: Order) -> NDArray[Any]:
    """The tensor with its units in `order`."""
    index = (order[:, None] * share.block + np.arange(share.block)).reshape(-1)
    return np.take(tensor, index, axis=share.axis)


def hidden_units(tensors: Tensors) -> list[Exchangeable]:
    """The MLP hidden units of every layer of an OPT- or Llama-like model."""
    return [
        Exchangeable(_rows(tensors, names), tuple(Share(name, _axis(name), 1) for name in names))
        for names in _by_layer(tensors, _MLP).values()
    ]


def attention_heads(tensors: Tensors, groups: int) -> list[Exchangeable]:
    """The attention heads of every layer; `groups` is the number of key-value heads.

    With grouped queries, a key-value head and its query heads are one unit.
    """
    found = []
    for names in _by_layer(tensors, _ATTENTION).values():
        shares = tuple(Share(name, _axis(name), tensors[name].shape[_axis(name)] // groups) for name in names)
        found.append(Exchangeable(groups, shares))
    return found


def _by_layer(tensors: Iterable[str], pattern: re.Pattern[str]) -> dict[str, list[str]]:
    layers: dict[str, list[str]] = {}
    for name in tensors:
        match = pattern.match(name)
        if match and not (match["which"] in _BEHIND and match["what"] == "bias"):
            layers.setdefault(match["layer"], []).append(name)
    return {layer: names for layer, names in layers.items() if _weights(names) in _COMPLETE}


def _weights(names: Iterable[str]) -> set[str]:
    return {name.split(".")[-2] for name in names if name.endswith(".weight")}


def _axis(name: str) -> int:
    """Units are rows of what comes before them and columns of what comes behind."""
    return 1 if name.split(".")[-2] in _BEHIND else 0


def _rows(tensors: Tensors, names: Sequence[str]) -> int:
    return int(next(tensors[name].shape[0] for name in names if _axis(name) == 0))


def _unit_bytes(tensor: NDArray[Any], share: Share, count: int) -> NDArray[np.uint8]:
    """uint8 (count, bytes of one unit)."""
    units = np.moveaxis(tensor, share.axis, 0).reshape(count, -1)
    return np.ascontiguousarray(units).view(np.uint8).reshape(count, -1)


def _sizes(count: int) -> NDArray[np.int32]:
    return np.arange(count, 1, -1, dtype=np.int32)
