"""Move what a norm does besides normalising into the linears around it; the function stays the same.

Afterwards every norm is `norm_without_parameters`, which commutes with rotations of the residual stream:

- weight and bias of a norm go into the linears that read it, W (w * x + b) = (W w) x + W b;
- the mean that a LayerNorm subtracts is taken out of everything that writes to the residual stream, whose mean then
  is zero. Models with RMSNorm subtract none, so theirs is left alone.

Everything here is in float64; the caller casts once, at the very end.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from freebits_codecs.symmetry.slicing.architectures import HEAD, NormKind
from freebits_codecs.symmetry.slicing.config import ModelConfig


def fuse_block(config: ModelConfig, dense: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """float64 weights of a block without its norms, from those of a dense block (names relative to the block)."""
    weights = _wide(dense)
    for step in config.architecture.steps:
        _fuse_norm(weights, step.norm, step.reads)
        if config.architecture.norm is NormKind.LAYER:
            for linear in step.writes:
                _centre_output(weights, linear)
    return weights


def fuse_outer(config: ModelConfig, dense: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """float64 embeddings and head without the final norm, from those of a dense model with the head untied."""
    weights = _wide(dense)
    _fuse_norm(weights, config.architecture.final_norm, (HEAD,))
    if config.architecture.norm is NormKind.LAYER:
        for name in config.architecture.embeddings:
            weights[name] = weights[name] - weights[name].mean(dim=1, keepdim=True)
    return weights


def _fuse_norm(weights: dict[str, Tensor], norm: str, readers: tuple[str, ...]) -> None:
    """Take weight and bias of a norm out, and into the linears that read it; those get a bias if they had none."""
    scale, shift = weights.pop(f"{norm}.weight"), weights.pop(f"{norm}.bias", None)
    for linear in readers:
        weight = weights[f"{linear}.weight"]
        if shift is not None:
            bias = weights.get(f"{linear}.bias", weight.new_zeros(weight.shape[0]))
            weights[f"{linear}.bias"] = bias + weight @ shift
        weights[f"{linear}.weight"] = weight * scale


def _centre_output(weights: dict[str, Tensor], linear: str) -> None:
    """Make the outputs of a linear sum to zero: subtract the mean over its rows."""
    for name in (f"{linear}.weight", f"{linear}.bias"):
        if name in weights:
            weights[name] = weights[name] - weights[name].mean(dim=0, keepdim=True)


def _wide(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.to(torch.float64) for name, tensor in tensors.items()}
