"""How wide a sliced model is at every place, in the words of the published tool (its class SlicingConfig)."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freebits_codecs.symmetry.slicing.architectures import HEAD
from freebits_codecs.symmetry.slicing.config import ModelConfig
from freebits_codecs.symmetry.slicing.config_fields import read_fields
from freebits_codecs.symmetry.slicing.errors import UnusableCheckpoint
from freebits_codecs.symmetry.slicing.weights import Weights

_PER_LAYER = (
    "embedding_dimensions",
    "attention_input_dimensions",
    "attention_output_dimensions",
    "mlp_input_dimensions",
    "mlp_output_dimensions",
)


@dataclass(frozen=True, slots=True)
class SlicingConfig:
    """Widths by layer (or by embedding). Parallel blocks have an attention input and an MLP output only."""

    hidden_size: int
    layers_num: int
    do_slice_head: bool
    parallel_blocks: bool
    embedding_dimensions: dict[int, int]
    attention_input_dimensions: dict[int, int]
    attention_output_dimensions: dict[int, int]
    mlp_input_dimensions: dict[int, int]
    mlp_output_dimensions: dict[int, int]
    head_dimension: int
    const_dimension: int | None = None

    @classmethod
    def of(cls, config: ModelConfig, weights: Weights) -> SlicingConfig:
        """Read off the tensors."""
        steps = config.architecture.steps
        first, last = steps[0].shortcut, steps[-1].shortcut
        inputs = {i: block[first].shape[0] for i, block in enumerate(weights.blocks)}
        middles = {} if len(steps) == 1 else {i: block[first].shape[1] for i, block in enumerate(weights.blocks)}
        head = weights.outer[f"{HEAD}.weight"].shape[1]
        return cls(
            hidden_size=config.hidden_size,
            layers_num=config.layer_count,
            do_slice_head=head != config.hidden_size,
            parallel_blocks=config.architecture.is_parallel,
            embedding_dimensions=dict.fromkeys(range(len(config.architecture.embeddings)), inputs[0]),
            attention_input_dimensions=inputs,
            attention_output_dimensions=middles,
            mlp_input_dimensions=dict(middles),
            mlp_output_dimensions={i: block[last].shape[1] for i, block in enumerate(weights.blocks)},
            head_dimension=head,
        )

    @property
    def slot_widths(self) -> list[int]:
        """Width of the residual stream at every slot, from the embedding to the head."""
        middles = self.attention_output_dimensions
        per_layer = [
            width
            for layer in range(self.layers_num)
            for width in (*([middles[layer]] if middles else []), self.mlp_output_dimensions[layer])
        ]
        return [self.embedding_dimensions[0], *per_layer]

    def to_json(self) -> str:
        """As the published tool writes it."""
        return json.dumps(dataclasses.asdict(self)) + "\n"

    def require_agreement(self, path: Path) -> None:
        """Raise UnusableCheckpoint when the JSON at `path` gives another width than the tensors."""
        fields = read_fields(path)
        for name in ("hidden_size", "layers_num", "head_dimension"):
            if fields.has(name):
                _compare(path, name, fields.size(name), getattr(self, name))
        for name in _PER_LAYER:
            claimed, widths = fields.group(name), getattr(self, name)
            for key in claimed.names():
                _compare(path, f"{name}[{key[:20]}]", claimed.size(key), widths.get(_index(key)))


def _index(key: str) -> int | None:
    return int(key) if key.isdecimal() and len(key) < 8 else None


def _compare(path: Path, name: str, found: int, expected: Any) -> None:
    if expected is not None and found != expected:
        raise UnusableCheckpoint(f"{path}: {name}", found=found, expected=f"{expected}, as the tensors have it")
