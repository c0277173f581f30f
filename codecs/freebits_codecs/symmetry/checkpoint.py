"""Read the tensors of a checkpoint folder one at a time: safetensors, single or sharded, or torch files."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from freebits_codecs.dtype import DTYPES
from freebits_codecs.errors import NotSymmetric
from freebits_codecs.formats import read_layout
from freebits_codecs.formats.layout import Tensor
from freebits_codecs.formats.safetensors import MAX_HEADER_NBYTES
from freebits_codecs.symmetry.floats import FLOAT_TYPES, Array, FloatType, Words
from freebits_codecs.symmetry.safetensors_file import METADATA, Described

_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
INDEX_SUFFIX = ".index.json"


@dataclass(frozen=True, slots=True)
class _Stored:
    """A tensor: `dtype` by its safetensors name, and what reads its bytes in C order."""

    dtype: str
    shape: tuple[int, ...]
    read: Callable[[], bytes | memoryview]


class Checkpoint(AbstractContextManager["Checkpoint"]):
    """The tensors of all weight files of one kind in `folder`, by name.

    safetensors files are preferred where there are some. Raises NotSymmetric when there are no weights or a name is
    there twice.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths = _weight_files(folder)
        self._stored: dict[str, _Stored] = {}
        with ExitStack() as opened:
            for path in self.paths:
                self._add(path, opened)
            self._files = opened.pop_all()

    def names(self) -> Iterator[str]:
        """Names in the order of the files."""
        return iter(self._stored)

    def __contains__(self, name: str) -> bool:
        return name in self._stored

    def shape(self, name: str) -> tuple[int, ...]:
        return self._stored[name].shape

    def dtype(self, name: str) -> str:
        """Its safetensors name."""
        return self._stored[name].dtype

    def nbytes(self, name: str) -> int:
        return Described(name, self.dtype(name), self.shape(name)).nbytes

    def described(self) -> list[Described]:
        """All tensors, for a file that is to hold them."""
        return [Described(name, stored.dtype, stored.shape) for name, stored in self._stored.items()]

    def raw(self, name: str) -> bytes | memoryview:
        """The bytes of a tensor, as stored."""
        return self._stored[name].read()

    def float_type(self, name: str) -> FloatType:
        """Raises NotSymmetric for a tensor that holds no floats of 16 or 32 bits."""
        kind = FLOAT_TYPES.get(self.dtype(name))
        if kind is None:
            raise NotSymmetric(
                f"{name} is {self.dtype(name)}, expected one of {', '.join(FLOAT_TYPES)}",
                "quantised weights have lost the symmetry; start from the model before quantisation",
            )
        return kind

    def words(self, name: str) -> Words:
        """The bit patterns of a float tensor in its shape. Raises NotSymmetric for other tensors."""
        kind = self.float_type(name)
        return np.frombuffer(self.raw(name), kind.word).reshape(self.shape(name))

    def values(self, name: str) -> Array:
        """A float tensor as float64. Raises NotSymmetric when it holds NaN or infinity."""
        kind, words = self.float_type(name), self.words(name)
        if not kind.is_finite(words):
            raise NotSymmetric(f"{name} holds NaN or infinity", "repair the checkpoint or leave it as it is")
        return kind.values(words)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def _add(self, path: Path, opened: ExitStack) -> None:
        is_torch = path.suffix != ".safetensors" and importlib.util.find_spec("torch") is not None
        for name, stored in _torch_tensors(path) if is_torch else _file_tensors(path, opened):
            if name in self._stored:
                raise NotSymmetric(f"{name} is in two files of {self.folder.name}", "keep one of them")
            self._stored[name] = stored


def _file_tensors(path: Path, opened: ExitStack) -> Iterator[tuple[str, _Stored]]:
    """Tensors that lie in the file in one piece, in C order; torch is not needed to read those."""
    file = opened.enter_context(path.open("rb"))
    if path.suffix == ".safetensors":
        _check_dtypes(file)
    layout = read_layout(file)
    for tensor in layout.tensors if layout else ():
        yield tensor.name, _Stored(tensor.dtype, tensor.shape, partial(_read, file, tensor))


def _check_dtypes(file: BinaryIO) -> None:
    """Layouts call what they do not know U8; a variant must say what its source says."""
    nbytes = int.from_bytes(file.read(8), "little")
    try:
        header = json.loads(file.read(min(nbytes, MAX_HEADER_NBYTES)))
        dtypes = {name: entry["dtype"] for name, entry in header.items() if name != METADATA}
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return  # no safetensors file: no layout is found in it either
    for name, dtype in dtypes.items():
        if dtype not in list(DTYPES):
            raise _unknown_dtype(name, str(dtype))


def _unknown_dtype(name: str, dtype: str) -> NotSymmetric:
    return NotSymmetric(
        f"{name} is {dtype}, expected one of {', '.join(DTYPES)}", "convert the tensor or leave the checkpoint as it is"
    )


def _read(file: BinaryIO, tensor: Tensor) -> bytes:
    file.seek(tensor.start)
    data = file.read(tensor.stop - tensor.start)
    if len(data) != tensor.stop - tensor.start:
        raise NotSymmetric(f"{tensor.name}: the file ends before the tensor does", "fetch the file again")
    return data


def _torch_tensors(path: Path) -> Iterator[tuple[str, _Stored]]:
    """Tensors of a state dict, also those that are views with strides."""
    from freebits_codecs.symmetry.state_dict import (  # noqa: PLC0415 - only torch files need torch
        DTYPE_NAMES,
        read_state_dict,
        tensor_bytes,
    )

    for name, tensor in read_state_dict(path).items():
        if tensor.dtype not in DTYPE_NAMES:
            raise _unknown_dtype(name, str(tensor.dtype))
        read = partial(tensor_bytes, tensor)
        yield name, _Stored(DTYPE_NAMES[tensor.dtype], tuple(tensor.shape), read)


def _weight_files(folder: Path) -> list[Path]:
    for suffix in _SUFFIXES:
        found = sorted(path for path in folder.iterdir() if path.suffix == suffix and path.is_file())
        if found:
            return found
    raise NotSymmetric(
        f"no weights found, expected files that end in {', '.join(_SUFFIXES)}", "name a revision that holds a model"
    )


def index_files(folder: Path) -> list[Path]:
    """The files that say which shard holds which tensor."""
    return sorted(folder.glob(f"*{INDEX_SUFFIX}"))
