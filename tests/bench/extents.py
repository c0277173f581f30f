"""Where the tensors of a checkpoint lie in its file, found by the libraries that own the formats."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import torch

FLOATS = frozenset({"BF16", "F16", "F32"})
TORCH_FLOATS = {torch.bfloat16: "BF16", torch.float16: "F16", torch.float32: "F32"}


class Extent(NamedTuple):
    """Bytes [start, stop) of the file hold items of `dtype`: BF16, F16, F32, or U8 for all else."""

    dtype: str
    start: int
    stop: int


def find_extents(path: Path, data: bytes, headerless_dtype: str = "F32") -> list[Extent]:
    """The tensors of the file in file order, never overlapping.

    A raw dump (`.bin`) is one tensor of `headerless_dtype`; a file of another unknown kind is one of U8.
    """
    if path.suffix == ".safetensors":
        found = list(_safetensors(data))
    elif path.suffix in {".hdf5", ".h5"}:
        found = list(_hdf5(path))
    elif zipfile.is_zipfile(path) or path.suffix in {".pt", ".pth"}:
        found = list(_torch_tensors(data, data))
    elif path.suffix == ".bin":
        found = [Extent(headerless_dtype, 0, len(data) // 4 * 4)]
    else:
        found = [Extent("U8", 0, len(data))]
    return _without_overlap(sorted(found, key=lambda extent: (extent.start, -extent.stop)))


def _without_overlap(extents: list[Extent]) -> list[Extent]:
    kept: list[Extent] = []
    for extent in extents:
        if not kept or extent.start >= kept[-1].stop:
            kept.append(extent)
    return kept


def _safetensors(data: bytes) -> Iterator[Extent]:
    header_nbytes = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8 : 8 + header_nbytes])
    for name, tensor in header.items():
        if name != "__metadata__":
            start, stop = (8 + header_nbytes + offset for offset in tensor["data_offsets"])
            yield Extent(tensor["dtype"] if tensor["dtype"] in FLOATS else "U8", start, stop)


def _hdf5(path: Path) -> Iterator[Extent]:
    found: list[Extent] = []

    def visit(_name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.id.get_offset() is not None:
            start = item.id.get_offset()
            dtype = {"<f4": "F32", "<f2": "F16"}.get(item.dtype.str, "U8")
            found.append(Extent(dtype, start, start + item.id.get_storage_size()))

    with h5py.File(path) as file:
        file.visititems(visit)
    yield from found


def _torch_tensors(whole: bytes, archive: bytes) -> Iterator[Extent]:
    """Storages of a torch file, or of those inside an uncompressed zip, found by their bytes in the file."""
    names = zipfile.ZipFile(io.BytesIO(archive)).namelist() if archive.startswith(b"PK") else ["/data.pkl"]
    if any(name.endswith("/data.pkl") for name in names):
        yield from _storages(archive, base=whole.index(archive))
        return
    for name in names:
        inner = zipfile.ZipFile(io.BytesIO(archive)).read(name)
        if inner.startswith(b"PK"):
            yield from _torch_tensors(whole, inner)


def _storages(archive: bytes, base: int) -> Iterator[Extent]:
    loaded = torch.load(io.BytesIO(archive), weights_only=True, map_location="cpu")
    taken: set[int] = set()
    for tensor in {tensor.untyped_storage().data_ptr(): tensor for tensor in _tensors_within(loaded)}.values():
        raw = bytes(tensor.untyped_storage())
        if len(raw) >= 64:  # shorter ones cannot be told from chance, nor do they matter
            start = archive.index(raw)
            while start in taken:  # equal storages: the next copy
                start = archive.index(raw, start + 1)
            taken.add(start)
            yield Extent(TORCH_FLOATS.get(tensor.dtype, "U8"), base + start, base + start + len(raw))


def _tensors_within(value: object) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors_within(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors_within(item)
