"""Models from disk: dense Hugging Face folders, folders that slicing wrote, files of the published tool."""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import torch

from freebits_codecs.symmetry.slicing.checkpoint import Checkpoint, open_checkpoint
from freebits_codecs.symmetry.slicing.config import ModelConfig, read_config
from freebits_codecs.symmetry.slicing.device import check_device
from freebits_codecs.symmetry.slicing.model import Model
from freebits_codecs.symmetry.slicing.weights import Weights, read_dense, read_sliced
from freebits_codecs.symmetry.slicing.widths import SlicingConfig

PUBLISHED_EPS = 1e-5
"""What the published tool's models are normalised with, whatever the config of their model says."""

OWN_DESCRIPTION = "slicing.json"
"""Lies in the folders that slicing writes. Sliced weights without it are the published tool's, also when converted."""


def load(
    path: str | Path,
    *,
    config: str | Path | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> Model:
    """A dense or sliced model, whichever `path` holds. Parameters and errors as `load_sliced`."""
    return _load(Path(path), config, device, dtype, read=None)


def load_dense(
    path: str | Path,
    *,
    config: str | Path | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> Model:
    """The model in a Hugging Face folder, as it is. Parameters and errors as `load_sliced`."""
    return _load(Path(path), config, device, dtype, read=_read_dense)


def load_sliced(
    path: str | Path,
    *,
    config: str | Path | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> Model:
    """A sliced model.

    Parameters
    ----------
    path
        A folder that `slice_folder` wrote, or the "<name>_<sparsity>.pt" of the published tool. The ".json" beside
        that is compared with the tensors if it is there; it is not needed.
    config
        The config.json of the dense model, or a folder with one. By default the one in the folder, or beside the file.
    device, dtype
        Where and in which type to compute; by default on the CPU in the type of the weights.

    Raises
    ------
    FileNotFoundError
        Without weights or config.
    NotSliced, UnsupportedModel, UnusableCheckpoint
        The message names the tensor or the setting, what was found and what was expected.
    """
    return _load(Path(path), config, device, dtype, read=_read_sliced)


def find_config(path: Path, config: str | Path | None = None) -> Path:
    """The config.json that belongs to a folder or a file. Raises FileNotFoundError."""
    place = Path(config) if config else path if path.is_dir() else path.parent
    found = place / "config.json" if place.is_dir() else place
    if not found.is_file():
        message = "no config.json here; name the one of the dense model, or copy it here"
        raise FileNotFoundError(errno.ENOENT, message, str(place))
    return found


_Read: TypeAlias = Callable[[Checkpoint, ModelConfig, Path], tuple[ModelConfig, Weights]]


def _load(
    path: Path,
    config: str | Path | None,
    device: torch.device | str,
    dtype: torch.dtype | None,
    read: _Read | None,
) -> Model:
    """The model at `path`, read as dense or sliced, or as what it is."""
    checkpoint = open_checkpoint(path)
    if read is None:
        read = _read_sliced if checkpoint.is_sliced else _read_dense
    facts, weights = read(checkpoint, read_config(find_config(path, config)), path)
    check_device(device)
    return Model(facts, weights.to(device, dtype or checkpoint.dtype))


def _read_dense(checkpoint: Checkpoint, config: ModelConfig, _path: Path) -> tuple[ModelConfig, Weights]:
    return config, read_dense(checkpoint.spelled_for(config.architecture.prefix), config)


def _read_sliced(checkpoint: Checkpoint, config: ModelConfig, path: Path) -> tuple[ModelConfig, Weights]:
    weights = read_sliced(checkpoint, config)
    is_ours = path.is_dir()
    description = path / "slicing.json" if is_ours else path.with_suffix(".json")
    if description.is_file():
        SlicingConfig.of(config, weights).require_agreement(description)
    return config if is_ours else dataclasses.replace(config, eps=PUBLISHED_EPS), weights
