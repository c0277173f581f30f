"""State dicts that torch.save wrote, and the dtypes that safetensors and torch both have. Needs torch."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from freebits_codecs.errors import UnusableCheckpoint

TORCH_DTYPES: dict[str, torch.dtype] = {
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "F32": torch.float32,
    "F64": torch.float64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
DTYPE_NAMES = {dtype: name for name, dtype in TORCH_DTYPES.items()}

_DAMAGED = (RuntimeError, ValueError, LookupError, EOFError, TypeError, AttributeError, pickle.UnpicklingError)
"""What torch.load raises for bytes that are no state dict."""


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by name, mapped into memory where the file allows. Nothing in it is executed: weights only.

    Raises OSError, and UnusableCheckpoint for anything but a dict from names to tensors.
    """
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except _DAMAGED as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise UnusableCheckpoint(str(path), found=reason, expected="tensors saved by torch.save") from None
    if not isinstance(loaded, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in loaded.items()
    ):
        raise UnusableCheckpoint(str(path), found="other objects", expected="a dict from names to tensors")
    return dict(loaded)


def tensor_bytes(tensor: torch.Tensor) -> memoryview:
    """The elements of a tensor in C order."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    if not flat.numel():
        return memoryview(b"")
    elements: NDArray[np.uint8] = flat.view(torch.uint8).numpy()
    return elements.data
