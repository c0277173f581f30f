"""One transformer block, dense or sliced, as residual steps over named weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  the customary name
from torch import Tensor

from freebits_codecs.symmetry.slicing.architectures import NormKind, ResidualStep
from freebits_codecs.symmetry.slicing.attention import HeadLayout, LayerCache, attend
from freebits_codecs.symmetry.slicing.config import ModelConfig
from freebits_codecs.symmetry.slicing.rope import Rotation

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_fast": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the text a block works: the rotation of its positions (None with learned positions), its cache."""

    rotation: Rotation | None
    cache: LayerCache | None = None


def norm_without_parameters(x: Tensor, hidden_size: int, eps: float) -> Tensor:
    """x / sqrt(sum(x^2) / hidden_size + eps), computed in float32 at least; commutes with rotations of x.

    `hidden_size` is the dense model's, however few columns of it x still has.
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    mean_square = wide.square().sum(dim=-1, keepdim=True) / hidden_size
    return (wide * torch.rsqrt(mean_square + eps)).to(x.dtype)


def dense_norm(x: Tensor, weights: Mapping[str, Tensor], name: str, config: ModelConfig) -> Tensor:
    """The LayerNorm or RMSNorm `name` of a dense model."""
    weight = weights[f"{name}.weight"]
    if config.architecture.norm is NormKind.LAYER:
        return F.layer_norm(x, (config.hidden_size,), weight, weights[f"{name}.bias"], config.eps)
    return norm_without_parameters(x, config.hidden_size, config.eps) * weight


def linear(x: Tensor, weights: Mapping[str, Tensor], name: str) -> Tensor:
    """x W^T + b for the linear `name`; b is optional."""
    return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))


class Block:
    """Runs the block that `weights` (names relative to the block) describe.

    The weights are looked up when they are used, so a caller may replace them between steps. A step is sliced when
    its shortcut is among them.
    """

    def __init__(self, config: ModelConfig, weights: Mapping[str, Tensor]) -> None:
        self._config, self._names, self._weights = config, config.architecture, weights
        self._heads = HeadLayout(config.head_count, config.key_value_head_count, config.head_dim)
        self._activation = _ACTIVATIONS[config.activation]

    def __call__(self, x: Tensor, place: Place) -> Tensor:
        """The residual stream after the block: [batch, positions, width]."""
        for step in self._names.steps:
            x = self.run_step(step, x, place)
        return x

    def run_step(self, step: ResidualStep, x: Tensor, place: Place) -> Tensor:
        """x S + f(norm(x)), for one step of the block."""
        shortcut = self._weights.get(step.shortcut)
        if shortcut is None:
            normed, residual = dense_norm(x, self._weights, step.norm, self._config), x
        else:
            normed = norm_without_parameters(x, self._config.hidden_size, self._config.eps)
            residual = x @ shortcut
        for branch in step.branches:
            residual = residual + (self._attention(normed, place) if branch == "attention" else self._mlp(normed))
        return residual

    def _attention(self, normed: Tensor, place: Place) -> Tensor:
        query, key, value = self._heads.split(self._linears(normed, self._names.attention_inputs))
        if place.rotation is not None:
            query, key = place.rotation(query), place.rotation(key)
        if place.cache is not None:
            key, value = place.cache.extend(key, value)
        context = attend(query, key, value, self._config.sliding_window)
        return linear(context, self._weights, self._names.attention_output)

    def _mlp(self, normed: Tensor) -> Tensor:
        parts = self._linears(normed, self._names.mlp_inputs)
        if self._names.is_gated:
            gate, up = parts if len(parts) > 1 else parts[0].chunk(2, dim=-1)
            hidden = self._activation(gate) * up
        else:
            hidden = self._activation(parts[0])
        return linear(hidden, self._weights, self._names.mlp_output)

    def _linears(self, x: Tensor, names: tuple[str, ...]) -> list[Tensor]:
        return [linear(x, self._weights, name) for name in names]
