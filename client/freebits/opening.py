"""Tensors by name, of a local file or of one at a hub, plain or encoded, without reading the rest."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, BinaryIO, cast

from freebits.arrays import Framework, choose_framework, to_array
from freebits.errors import FreebitsError
from freebits_codecs import ContainerReader, FileSource, is_container
from freebits_codecs.container.view import Original, OriginalFile, PlainOriginal
from freebits_codecs.formats import Tensor, read_layout

__all__ = ["Framework", "TensorFile", "UnknownLayout", "open", "open_remote"]


class UnknownLayout(FreebitsError):
    """No reader finds tensors in the file."""


class TensorFile(Mapping[str, Any]):
    """The tensors of one file; a mapping from name to array, and a context manager.

    Attributes: `format` ("safetensors", "torch", ...) and `nbytes` (of the original file). Reading
    `file[name]` reads that tensor's bytes only; nothing is cached.
    """

    def __init__(self, original: Original, framework: Framework | None) -> None:
        layout = read_layout(cast(BinaryIO, OriginalFile(original)))
        if layout is None:
            raise UnknownLayout(
                "no tensors found in this file; freebits.open reads safetensors, torch, npy/npz, GGUF, ONNX and HDF5"
            )
        self.format: str = layout.format
        self.nbytes = original.nbytes
        self._tensors = {tensor.name: tensor for tensor in layout.tensors}
        self._original, self._framework = original, choose_framework(framework)
        self._closing = ExitStack()

    def __getitem__(self, name: str) -> Any:
        """The tensor `name` as an array of the framework chosen at opening. KeyError when there is none."""
        tensor = self._tensors[name]
        data = bytearray(self._original.read(tensor.start, tensor.stop))
        return to_array(data, tensor.dtype, tensor.shape, self._framework)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def info(self, name: str) -> Tensor:
        """dtype (safetensors spelling), shape and byte range of a tensor, without reading it."""
        return self._tensors[name]

    def close(self) -> None:
        """Release the file or the connection."""
        self._closing.close()

    def __enter__(self) -> TensorFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open(path: str | os.PathLike[str], *, framework: Framework | None = None, threads: int = 1) -> TensorFile:
    """Tensors by name of a local file, plain or a freebits container.

    Parameters
    ----------
    path : path
        safetensors, torch zip, npy/npz, GGUF, ONNX or HDF5, as it is or encoded (`.fb`).
    framework : "numpy", "torch" or None
        What `file[name]` gives; None takes torch when it is installed, else numpy. BF16 and FP8 come as
        ml_dtypes arrays in numpy when that package is installed, else as one-field records (`array["BF16"]`
        are the bits), which refuse arithmetic instead of computing with bit patterns.

    Examples
    --------
    >>> with open("model.safetensors.fb") as tensors:               # doctest: +SKIP
    ...     tensors["lm_head.weight"].shape
    """
    with ExitStack() as closing:
        source = FileSource(path)
        closing.callback(source.close)
        head = bytes(source.read_at(0, min(16, source.nbytes)))
        original = ContainerReader(source, threads=threads) if is_container(head) else PlainOriginal(source)
        tensors = TensorFile(original, framework)
        tensors._closing = closing.pop_all()
        return tensors


def open_remote(remote: Any, *, framework: Framework | None, threads: int) -> TensorFile:
    """Tensors by name of a file at a hub; `remote` is a RangeSource with `is_container` and `close`."""
    with ExitStack() as closing:
        closing.callback(remote.close)
        original = ContainerReader(remote, threads=threads) if remote.is_container else PlainOriginal(remote)
        tensors = TensorFile(original, framework)
        tensors._closing = closing.pop_all()
        return tensors
