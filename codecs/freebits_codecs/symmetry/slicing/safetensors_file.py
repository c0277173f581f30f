"""safetensors files as torch tensors: mapped for reading, sharded for writing."""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from freebits_codecs.formats import read_layout
from freebits_codecs.symmetry.safetensors_file import Described, SafetensorsFile
from freebits_codecs.symmetry.slicing.errors import UnusableCheckpoint
from freebits_codecs.symmetry.state_dict import DTYPE_NAMES, TORCH_DTYPES, tensor_bytes

MAX_SHARD_NBYTES = 5_000_000_000
"""What Hugging Face libraries split checkpoints at."""


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file by name, mapped into memory and read when used.

    Raises OSError, and UnusableCheckpoint when the file is cut or no safetensors file.
    """
    with path.open("rb") as file:
        layout = read_layout(file)
        if layout is None or layout.format != "safetensors":
            raise UnusableCheckpoint(str(path), found="a damaged or foreign file", expected="safetensors")
        # A private mapping is writable, which is what torch wants of a buffer; the file is never changed.
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    return {
        tensor.name: _view(mapped, TORCH_DTYPES[tensor.dtype], tensor.shape, tensor.start)
        for tensor in layout.tensors
        if tensor.dtype in TORCH_DTYPES
    }


def _view(mapped: mmap.mmap, dtype: torch.dtype, shape: tuple[int, ...], start: int) -> Tensor:
    count = math.prod(shape)
    if count == 0:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(mapped, dtype=dtype, count=count, offset=start).reshape(shape)


def write_safetensors(
    folder: Path, tensors: Mapping[str, Tensor], max_shard_nbytes: int = MAX_SHARD_NBYTES
) -> list[Path]:
    """Write `model.safetensors`, or shards with an index when it would pass `max_shard_nbytes`; the files."""
    shards = list(_shards(tensors, max_shard_nbytes))
    if len(shards) == 1:
        return [_write_file(folder / "model.safetensors", tensors)]
    names = [f"model-{i:05}-of-{len(shards):05}.safetensors" for i in range(1, len(shards) + 1)]
    paths = [_write_file(folder / name, shard) for name, shard in zip(names, shards, strict=True)]
    index = {
        "metadata": {"total_size": sum(tensor.nbytes for tensor in tensors.values())},
        "weight_map": {tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard},
    }
    index_path = folder / "model.safetensors.index.json"
    index_path.write_text(json.dumps(index, indent=2) + "\n")
    return [*paths, index_path]


def _shards(tensors: Mapping[str, Tensor], max_nbytes: int) -> Iterator[dict[str, Tensor]]:
    """Tensors in order, as many together as fit; one that is larger stands alone."""
    shard: dict[str, Tensor] = {}
    nbytes = 0
    for name, tensor in tensors.items():
        if shard and nbytes + tensor.nbytes > max_nbytes:
            yield shard
            shard, nbytes = {}, 0
        shard[name] = tensor
        nbytes += tensor.nbytes
    yield shard


def _write_file(path: Path, tensors: Mapping[str, Tensor]) -> Path:
    described = [Described(name, DTYPE_NAMES[tensor.dtype], tuple(tensor.shape)) for name, tensor in tensors.items()]
    file = SafetensorsFile(path, described, {"format": "pt"})
    for name, tensor in tensors.items():
        file.write(name, tensor_bytes(tensor))
    file.seal()
    return path
