"""The table of element types."""

from __future__ import annotations

import pytest

from freebits_codecs.dtype import DTYPES


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES.keys())
def test_widths_agree(dtype):
    """The view is as wide as the element, and a float's fields and sign fill it."""
    assert dtype.view.itemsize == dtype.itemsize
    if dtype.is_float:
        assert 1 + dtype.exponent_bits + dtype.mantissa_bits == 8 * dtype.itemsize


def test_names_are_those_of_safetensors():
    """Fifteen types, each under the name that safetensors gives it."""
    assert " ".join(DTYPES) == "BF16 F16 F32 F64 F8_E4M3 F8_E5M2 I8 I16 I32 I64 U8 U16 U32 U64 BOOL"
    assert all(name == dtype.name for name, dtype in DTYPES.items())
