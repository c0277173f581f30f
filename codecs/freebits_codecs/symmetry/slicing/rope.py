"""Rotary position embedding: the plain one, and Llama 3's with stretched low frequencies."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from freebits_codecs.symmetry.slicing.config_fields import ConfigFields
from freebits_codecs.symmetry.slicing.errors import UnsupportedModel, UnusableCheckpoint


@dataclass(frozen=True, slots=True)
class Llama3Scaling:
    """Wavelengths beyond `original_positions / low_factor` are stretched by `factor`; those below
    `original_positions / high_factor` stay; in between it blends.
    """

    factor: float
    low_factor: float
    high_factor: float
    original_positions: float


@dataclass(frozen=True, slots=True)
class RopeConfig:
    """The first `dim` elements of each head are rotated; `dim` is even."""

    theta: float
    dim: int
    scaling: Llama3Scaling | None


def read_rope(fields: ConfigFields, head_dim: int, default_fraction: float) -> RopeConfig:
    """From `rope_parameters`, or from the older `rope_theta`, `rope_scaling` and `partial_rotary_factor`.

    Raises UnsupportedModel for scalings other than "default" and "llama3".
    """
    rope = fields.group("rope_parameters") if fields.has("rope_parameters") else fields.group("rope_scaling")
    kind = rope.text("rope_type", rope.text("type", "default"))
    if kind not in {"default", "llama3"}:
        raise UnsupportedModel("the rope_type", found=kind, expected="'default' or 'llama3'")
    theta = rope.number("rope_theta", fields.number("rope_theta", 10000.0))
    default_fraction = fields.number("partial_rotary_factor", default_fraction)
    dim = int(head_dim * rope.number("partial_rotary_factor", default_fraction))
    if dim % 2 or not 0 < dim <= head_dim:
        raise UnusableCheckpoint(
            "config.json: rotary dimensions", found=dim, expected=f"an even number of at most {head_dim}"
        )
    return RopeConfig(theta, dim, _read_llama3(rope) if kind == "llama3" else None)


def _read_llama3(rope: ConfigFields) -> Llama3Scaling:
    scaling = Llama3Scaling(
        factor=rope.number("factor"),
        low_factor=rope.number("low_freq_factor"),
        high_factor=rope.number("high_freq_factor"),
        original_positions=rope.number("original_max_position_embeddings"),
    )
    if scaling.high_factor <= scaling.low_factor:
        raise UnusableCheckpoint(
            "config.json: high_freq_factor",
            found=scaling.high_factor,
            expected=f"more than low_freq_factor, which is {scaling.low_factor}",
        )
    return scaling


def inverse_frequencies(config: RopeConfig) -> Tensor:
    """float32[dim / 2], radians per position."""
    frequencies = 1.0 / config.theta ** (torch.arange(0, config.dim, 2, dtype=torch.float32) / config.dim)
    return frequencies if config.scaling is None else _stretched(frequencies, config.scaling)


def _stretched(frequencies: Tensor, scaling: Llama3Scaling) -> Tensor:
    turns = scaling.original_positions * frequencies / (2 * math.pi)
    kept = ((turns - scaling.low_factor) / (scaling.high_factor - scaling.low_factor)).clamp(0, 1)
    return frequencies * (kept + (1 - kept) / scaling.factor)


@dataclass(frozen=True, slots=True)
class Rotation:
    """Cosines and sines of a run of positions: each [positions, dim]."""

    cos: Tensor
    sin: Tensor

    def __call__(self, heads: Tensor) -> Tensor:
        """Rotate the first `dim` elements of [batch, heads, positions, head_dim]; a new tensor."""
        dim = self.cos.shape[-1]
        turned, kept = heads[..., :dim], heads[..., dim:]
        first, second = turned.chunk(2, dim=-1)
        turned = turned * self.cos + torch.cat((-second, first), dim=-1) * self.sin
        return torch.cat((turned, kept), dim=-1)


def rotation(frequencies: Tensor, start: int, stop: int, dtype: torch.dtype) -> Rotation:
    """For positions [start, stop); angles are computed in float32, then cast to `dtype`."""
    positions = torch.arange(start, stop, device=frequencies.device, dtype=torch.float32)
    angles = torch.outer(positions, frequencies).repeat(1, 2)
    return Rotation(angles.cos().to(dtype), angles.sin().to(dtype))
