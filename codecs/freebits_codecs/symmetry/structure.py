"""Where a sliced transformer may be rotated: the slots of a SliceGPT checkpoint, found by the names of its tensors.

Between two blocks, and inside each between attention and MLP, the residual stream may be turned by any orthogonal
matrix R: what writes to it is turned by R, what reads from it by R too, and nothing else notices, because the
parameter-free norms only see lengths. The shortcut matrices that SliceGPT leaves in the residual path connect
neighbouring slots, so that each slot has a rotation of its own.

Linear weights are (out, in), as PyTorch has them: a weight that *reads* slot s has the slot as its columns (W R), one
that *writes* it has it as its rows (R^T W, bias b R). Embeddings (tokens, d) write a slot and have it as columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from freebits_codecs.errors import NotSymmetric
from freebits_codecs.symmetry.checkpoint import Checkpoint

SHORTCUT = re.compile(r"^(?P<layers>(?:.*\.)?layers)\.(?P<layer>\d+)\.(?P<which>attn|mlp)_shortcut_Q$")
_ATTENTION_READS = re.compile(r"^self_attn\.(q_proj|k_proj|v_proj|qkv_proj)\.(weight|bias)$")
_ATTENTION_WRITES = re.compile(r"^self_attn\.(o_proj|out_proj|dense)\.(weight|bias)$")
_MLP_READS = re.compile(r"^(mlp\.)?(fc1|gate_proj|up_proj|gate_up_proj)\.(weight|bias)$")
_MLP_WRITES = re.compile(r"^(mlp\.)?(fc2|down_proj)\.(weight|bias)$")
_EMBEDDING = re.compile(r"^(?:.*\.)?(embed_tokens|embed_positions)\.weight$")
_HEAD = re.compile(r"^(?:.*\.)?lm_head\.weight$")
_NOT_ROTATED = re.compile(r"^(?:.*\.)?(lm_head\.bias|.*rotary_emb\.inv_freq)$")


@dataclass(slots=True)
class Slot:
    """One place for a rotation, by names of tensors. `size` is d.

    `before` and `after` are the shortcuts that end and begin here: (d', d) and (d, d''), row-vector convention; None at
    the ends. `anchors` are the weights that read this slot and lie in no other one.
    """

    size: int
    embeddings: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    biases: list[str] = field(default_factory=list)
    before: str | None = None
    after: str | None = None

    @property
    def columns(self) -> list[str]:
        """Tensors to multiply by R from the right."""
        return [*self.embeddings, *self.reads]

    @property
    def members(self) -> list[str]:
        """Tensors that lie in this slot alone."""
        return [*self.embeddings, *self.reads, *self.writes, *self.biases]


def find_slots(checkpoint: Checkpoint) -> list[Slot]:
    """The slots in the order of the forward pass; of n shortcuts there are n + 1.

    Raises NotSymmetric when the checkpoint is not sliced, or holds a tensor whose place in the network is not known.
    """
    shortcuts = _shortcuts(checkpoint)
    slots = [Slot(checkpoint.shape(shortcuts[0])[0])]
    for name in shortcuts:
        shape = checkpoint.shape(name)
        if len(shape) != 2 or shape[0] != slots[-1].size:
            raise _misfit(name, shape, f"({slots[-1].size}, any)")
        slots[-1].after = name
        slots.append(Slot(shape[1], before=name))
    place = _Placing(checkpoint, shortcuts, slots)
    for name in checkpoint.names():
        place.add(name)
    for slot, s in zip(slots, range(len(slots)), strict=True):
        _check_shapes(checkpoint, slot, s)
    return slots


def is_sliced(names: Iterable[str]) -> bool:
    """Whether tensors of these names are a SliceGPT checkpoint's."""
    return any(SHORTCUT.match(name) for name in names)


def _shortcuts(checkpoint: Checkpoint) -> list[str]:
    """Names in the order of the forward pass."""
    found = {}
    for name in checkpoint.names():
        if match := SHORTCUT.match(name):
            found[int(match["layer"]), match["which"] == "mlp"] = name
    if not found:
        raise NotSymmetric(
            "no tensor is called *.attn_shortcut_Q, so this is no sliced model, expected one that SliceGPT or "
            "`freebits slice` made",
            "slice it first; an ordinary transformer has only one rotation, worth 0.1 % of it",
        )
    order = [found[key] for key in sorted(found)]
    layers = max(layer for layer, _ in found) + 1
    if len(order) not in (layers, 2 * layers):
        raise NotSymmetric(
            f"{len(order)} shortcut matrices in {layers} layers, expected one or two in each", "fetch all shards"
        )
    return order


@dataclass(slots=True)
class _Placing:
    """Puts every tensor into its slot. A parallel block has one shortcut, another block two."""

    checkpoint: Checkpoint
    shortcuts: list[str]
    slots: list[Slot]
    _prefix: str = field(init=False)
    _per_layer: int = field(init=False)

    def __post_init__(self) -> None:
        first = SHORTCUT.match(self.shortcuts[0])
        assert first is not None
        self._prefix = first["layers"] + "."
        self._per_layer = 1 if all("attn" in name.rsplit(".", 1)[1] for name in self.shortcuts) else 2

    def add(self, name: str) -> None:
        if SHORTCUT.match(name) or _NOT_ROTATED.match(name):
            return
        if name.startswith(self._prefix):
            layer, _, rest = name[len(self._prefix) :].partition(".")
            if layer.isdecimal() and int(layer) * self._per_layer < len(self.shortcuts):
                self._add_to_block(name, int(layer) * self._per_layer, rest)
                return
        elif _EMBEDDING.match(name):
            self.slots[0].embeddings.append(name)
            return
        elif _HEAD.match(name):
            self.slots[-1].reads.append(name)
            return
        raise self._unknown(name)

    def _add_to_block(self, name: str, first: int, rest: str) -> None:
        """`first` is the slot that the block's attention reads."""
        middle, last = first + self._per_layer - 1, first + self._per_layer
        if _ATTENTION_READS.match(rest):
            self._read(name, first)
        elif _MLP_READS.match(rest):
            self._read(name, middle)
        elif _ATTENTION_WRITES.match(rest):
            self._write(name, first + 1)
        elif _MLP_WRITES.match(rest):
            self._write(name, last)
        else:
            raise self._unknown(name)

    def _read(self, name: str, slot: int) -> None:
        if name.endswith(".weight"):  # biases of readers are behind the rotation
            self.slots[slot].reads.append(name)

    def _write(self, name: str, slot: int) -> None:
        (self.slots[slot].writes if name.endswith(".weight") else self.slots[slot].biases).append(name)

    def _unknown(self, name: str) -> NotSymmetric:
        return NotSymmetric(
            f"{name} has no known place in a sliced model, expected attention, MLP, shortcuts, embeddings and head",
            "norms must be fused and architectures be like OPT, Llama or Phi",
        )


def _check_shapes(checkpoint: Checkpoint, slot: Slot, number: int) -> None:
    for names, axis in ((slot.columns, 1), (slot.writes, 0)):
        for name in names:
            shape = checkpoint.shape(name)
            if len(shape) != 2 or shape[axis] != slot.size:
                raise _misfit(name, shape, f"{slot.size} {'rows' if axis == 0 else 'columns'} in slot {number}")
    for name in slot.biases:
        if checkpoint.shape(name) != (slot.size,):
            raise _misfit(name, checkpoint.shape(name), f"({slot.size},)")
    if not slot.reads:
        raise NotSymmetric(f"nothing reads slot {number}", "fetch all shards; the head must be untied (lm_head.weight)")


def _misfit(name: str, shape: tuple[int, ...], expected: str) -> NotSymmetric:
    return NotSymmetric(f"{name} has shape {shape}, expected {expected}", "the checkpoint is not a sliced model")
