"""The element types freebits knows, under their safetensors names: a table and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Dtype:
    """One element type.

    A float has one sign bit, then `exponent_bits`, then `mantissa_bits`, from the most significant bit
    down. For integers and BOOL both are 0. `view` is the little-endian numpy type to look at the elements
    with: the type itself where numpy has it, else the unsigned integer of the same width (BF16 -> uint16,
    F8 -> uint8).
    """

    name: str
    itemsize: int
    exponent_bits: int
    mantissa_bits: int
    view: np.dtype[np.generic]

    @property
    def is_float(self) -> bool:
        return self.exponent_bits > 0


def _row(name: str, view: str, exponent_bits: int = 0, mantissa_bits: int = 0) -> tuple[str, Dtype]:
    numpy_dtype = np.dtype(view)
    return name, Dtype(name, numpy_dtype.itemsize, exponent_bits, mantissa_bits, numpy_dtype)


DTYPES: dict[str, Dtype] = dict(
    (
        _row("BF16", "<u2", 8, 7),
        _row("F16", "<f2", 5, 10),
        _row("F32", "<f4", 8, 23),
        _row("F64", "<f8", 11, 52),
        _row("F8_E4M3", "u1", 4, 3),
        _row("F8_E5M2", "u1", 5, 2),
        _row("I8", "i1"),
        _row("I16", "<i2"),
        _row("I32", "<i4"),
        _row("I64", "<i8"),
        _row("U8", "u1"),
        _row("U16", "<u2"),
        _row("U32", "<u4"),
        _row("U64", "<u8"),
        _row("BOOL", "?"),
    )
)
