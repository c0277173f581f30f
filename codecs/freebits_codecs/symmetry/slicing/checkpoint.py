"""The tensors of a checkpoint, wherever it keeps them, handed out only in the shape that is expected of them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from freebits_codecs.symmetry.slicing.config_fields import read_fields
from freebits_codecs.symmetry.slicing.errors import UnusableCheckpoint
from freebits_codecs.symmetry.slicing.safetensors_file import read_safetensors
from freebits_codecs.symmetry.slicing.shapes import NamedShape
from freebits_codecs.symmetry.state_dict import read_state_dict

_WHOLE = ("model.safetensors", "pytorch_model.bin")
_SHARDED = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_DETECTOR = ".attn_shortcut_Q"
_BUFFERS = (".inv_freq", ".masked_bias", ".position_ids")
"""Ends of names that old checkpoints hold beside their weights; what they say follows from the config."""

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


class Checkpoint:
    """Tensors by name. `where` is for messages; `dtype` is that of most of its elements."""

    def __init__(self, tensors: Mapping[str, Tensor], where: str) -> None:
        self._tensors, self.where = tensors, where

    @property
    def is_sliced(self) -> bool:
        """Whether it has the shortcuts of a sliced model."""
        return any(name.endswith(_DETECTOR) for name in self._tensors)

    @property
    def dtype(self) -> torch.dtype:
        """The float type that most elements have. Raises UnusableCheckpoint when there is no float."""
        counts = dict.fromkeys(FLOATS, 0)
        for tensor in self._tensors.values():
            if tensor.dtype in counts:
                counts[tensor.dtype] += tensor.numel()
        dtype = max(FLOATS, key=lambda float_type: counts[float_type])
        if counts[dtype] == 0:
            raise UnusableCheckpoint(self.where, found="no floating-point tensor", expected="a model's weights")
        return dtype

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self._tensors.values())

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor. Raises UnusableCheckpoint when it is missing."""
        return tuple(self._find(name).shape)

    def read(self, expected: Iterable[NamedShape], prefix: str = "") -> dict[str, Tensor]:
        """The tensors `prefix` + name, by name, each checked: there, of this shape, floating-point, finite.

        Raises UnusableCheckpoint at the first that is not.
        """
        return {name: self._read_one(prefix + name, shape) for name, shape in expected}

    def refuse_others(self, known: Iterable[str]) -> None:
        """Raise UnusableCheckpoint for a tensor that is none of `known`: the model would compute without it."""
        others = set(self._tensors).difference(known)
        strange = sorted(name for name in others if not name.endswith(_BUFFERS))
        if strange:
            raise UnusableCheckpoint(
                f"{self.where}: tensor {strange[0]!r}",
                found=f"it and {len(strange) - 1} more that the config does not call for",
                expected="only tensors of the architecture that config.json names",
                hint="check that config.json belongs to these weights",
            )

    def spelled_for(self, prefix: str) -> Checkpoint:
        """The same tensors, named as an architecture with this prefix spells them.

        Some OPT checkpoints were saved from inside of the model, and lack the leading "model.".
        """
        outer, _, inner = prefix.partition(".")
        if not inner or any(name.startswith(f"{outer}.") for name in self._tensors):
            return self
        return Checkpoint(
            {f"{outer}.{name}" if name.startswith(inner) else name: tensor for name, tensor in self._tensors.items()},
            self.where,
        )

    def _find(self, name: str) -> Tensor:
        if name not in self._tensors:
            raise UnusableCheckpoint(
                f"{self.where}: tensor {name!r}", found=f"none among {len(self._tensors)}", expected="it to be there"
            )
        return self._tensors[name]

    def _read_one(self, name: str, shape: tuple[int, ...]) -> Tensor:
        tensor, what = self._find(name), f"{self.where}: tensor {name!r}"
        if tuple(tensor.shape) != shape:
            raise UnusableCheckpoint(f"{what}, shape", found=list(tensor.shape), expected=str(list(shape)))
        if tensor.dtype not in FLOATS:
            raise UnusableCheckpoint(
                f"{what}, type", found=tensor.dtype, expected="one of float32, float16, bfloat16, float64"
            )
        if tensor.layout != torch.strided or not torch.isfinite(tensor).all():
            raise UnusableCheckpoint(what, found="NaN, infinite or sparse values", expected="finite dense ones")
        return tensor


def open_checkpoint(path: Path) -> Checkpoint:
    """The weights in a folder (safetensors or .bin, whole or sharded) or in one file.

    Raises FileNotFoundError when a folder holds no weights, UnusableCheckpoint when they cannot be read.
    """
    tensors: dict[str, Tensor] = {}
    for file in _files(path) if path.is_dir() else [path]:
        tensors |= _read_file(file)
    return Checkpoint(tensors, str(path))


def _files(folder: Path) -> list[Path]:
    for name in _WHOLE:
        if (folder / name).is_file():
            return [folder / name]
    for name in _SHARDED:
        if (folder / name).is_file():
            return _shards(folder / name)
    message = f"no weights here, looked for {', '.join(_WHOLE + _SHARDED)}"
    raise FileNotFoundError(errno.ENOENT, message, str(folder))


def _shards(index: Path) -> list[Path]:
    fields = read_fields(index).group("weight_map")
    names = {fields.text(tensor) for tensor in fields.names()}
    outside = sorted(name for name in names if name in {"", ".", ".."} or os.path.basename(name) != name)
    if outside or not names:
        found = repr(outside[0]) if outside else "no file"
        raise UnusableCheckpoint(str(index), found=found, expected="names of files beside it")
    return [index.parent / name for name in sorted(names)]


def _read_file(path: Path) -> dict[str, Tensor]:
    return read_safetensors(path) if path.suffix == ".safetensors" else read_state_dict(path)
