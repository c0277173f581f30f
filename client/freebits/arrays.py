"""Bytes of a tensor as an array of numpy or torch."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, Literal, TypeAlias

import numpy as np

from freebits.errors import UsageError

Framework: TypeAlias = Literal["numpy", "torch"]

_NUMPY = {
    "BOOL": "?",
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
    "I8": "i1",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
    "U8": "u1",
    "U16": "<u2",
    "U32": "<u4",
    "U64": "<u8",
}
_ML_DTYPES = {"BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}
_BITS = {"BF16": "<u2", "F8_E4M3": "u1", "F8_E5M2": "u1"}
_TORCH = {
    **_ML_DTYPES,
    "BOOL": "bool",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "U8": "uint8",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
}


def choose_framework(framework: str | None) -> Framework:
    """`framework`, or torch when it is installed, else numpy. UsageError for other names."""
    if framework is None:
        return "torch" if importlib.util.find_spec("torch") else "numpy"
    if framework == "torch" and not importlib.util.find_spec("torch"):
        raise UsageError("framework='torch' needs torch; install freebits[torch] or ask for 'numpy'")
    if framework not in {"numpy", "torch"}:
        raise UsageError(f"framework {framework!r} is neither 'numpy' nor 'torch'")
    return framework  # type: ignore[return-value]


def to_array(data: bytearray, dtype: str, shape: tuple[int, ...], framework: Framework) -> Any:
    """A writable array over `data`, which it owns from now on: dtype[shape], C order, no copy."""
    if framework == "torch":
        torch = importlib.import_module("torch")
        torch_dtype = getattr(torch, _TORCH[dtype])
        # torch.frombuffer refuses empty buffers.
        flat = torch.frombuffer(data, dtype=torch_dtype) if data else torch.empty(0, dtype=torch_dtype)
        return flat.reshape(shape)
    return np.frombuffer(data, dtype=_numpy_dtype(dtype)).reshape(shape)


def _numpy_dtype(dtype: str) -> np.dtype[Any]:
    named: Any = _NUMPY.get(dtype)
    if named is None and importlib.util.find_spec("ml_dtypes"):
        named = getattr(importlib.import_module("ml_dtypes"), _ML_DTYPES[dtype])
    return np.dtype(named or [(dtype, _BITS[dtype])])
