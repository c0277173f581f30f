"""Fusing and rotating change nothing; baking the mean is for models that subtract one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from freebits_codecs.symmetry.slicing import Model, load_dense, load_sliced
from freebits_codecs.symmetry.slicing.architectures import NormKind
from freebits_codecs.symmetry.slicing.checkpoint import Checkpoint
from freebits_codecs.symmetry.slicing.config import read_config
from freebits_codecs.symmetry.slicing.pca import random_orthogonal
from freebits_codecs.symmetry.slicing.weights import read_sliced

IDS = torch.randint(3, 128, (2, 40), generator=torch.Generator().manual_seed(5))


def test_keeping_all_directions_keeps_the_function(dense_folder: Path, slice_into: Any) -> None:
    """Sparsity 0: fused, rotated at every slot, and the logits are those of the dense model."""
    expected = load_dense(dense_folder).logits(IDS)
    for orientation in ("random", "pca"):
        sliced = load_sliced(slice_into(dense_folder, 0.0, name=orientation, orientation=orientation))
        torch.testing.assert_close(sliced.logits(IDS), expected, atol=2e-4, rtol=1e-4)


def test_the_mean_is_baked_into_layer_norm_models_only(dense_folder: Path, slice_into: Any) -> None:
    """What writes to the residual stream of an RMSNorm model keeps its mean."""
    sliced = slice_into(dense_folder, 0.0)
    config, tensors = read_config(sliced / "config.json"), load_file(sliced / "model.safetensors")
    name = config.architecture.embeddings[0]
    dense = load_file(dense_folder / "model.safetensors")[name]
    centred = dense - dense.mean(dim=1, keepdim=True)
    kept = centred if config.architecture.norm is NormKind.LAYER else dense
    # Rotations keep the length of every row, so lengths tell what was rotated.
    torch.testing.assert_close(tensors[name].norm(dim=1), kept.norm(dim=1))
    assert not torch.allclose(dense.norm(dim=1), centred.norm(dim=1), rtol=1e-3)


def turned(tensors: dict[str, torch.Tensor], folder: Path, seed: int) -> dict[str, torch.Tensor]:
    """The state dict with another random orthogonal matrix in every slot, float64."""
    config = read_config(folder / "config.json")
    names, draw = config.architecture, torch.Generator().manual_seed(seed)
    new = {name: tensor.double() for name, tensor in tensors.items()}
    here = random_orthogonal(new[names.embeddings[0]].shape[1], draw)
    for name in names.embeddings:
        new[name] = new[name] @ here
    for layer in range(config.layer_count):
        prefix = names.block_prefix(layer)
        for step in names.steps:
            there = random_orthogonal(new[prefix + step.shortcut].shape[1], draw)
            for linear in step.reads:
                new[f"{prefix}{linear}.weight"] = new[f"{prefix}{linear}.weight"] @ here
            new[prefix + step.shortcut] = here.T @ new[prefix + step.shortcut] @ there
            for linear in step.writes:
                for name in (f"{prefix}{linear}.weight", f"{prefix}{linear}.bias"):
                    if name in new:
                        new[name] = there.T @ new[name]
            here = there
    new["lm_head.weight"] = new["lm_head.weight"] @ here
    return new


def test_any_rotation_of_a_sliced_model_keeps_its_function(dense_folder: Path, slice_into: Any) -> None:
    """In float64 the logits differ by rounding only, whatever the rotations."""
    folder = slice_into(dense_folder, 0.25)
    config, tensors = read_config(folder / "config.json"), load_file(folder / "model.safetensors")
    expected = load_sliced(folder, dtype=torch.float64).logits(IDS)

    @given(seed=st.integers(0, 2**31))
    @settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
    def check(seed: int) -> None:
        weights = read_sliced(Checkpoint(turned(tensors, folder, seed), "turned"), config)
        torch.testing.assert_close(Model(config, weights).logits(IDS), expected, atol=1e-10, rtol=1e-10)

    check()
