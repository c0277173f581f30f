"""Where to compute, and in which type."""

from __future__ import annotations

import torch

from freebits_codecs.symmetry.slicing.errors import InvalidSlicing

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def check_device(device: torch.device | str) -> None:
    """Raise InvalidSlicing unless torch can use the device on this machine."""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # a torch without CUDA asserts
        reason = str(error).splitlines()[0][:120]
        raise InvalidSlicing(
            "device", found=f"{str(device)!r} ({reason})", expected="one torch can use here, as 'cpu'"
        ) from None


def parse_dtype(name: str | None) -> torch.dtype | None:
    """The type called "float32", "float16" or "bfloat16"; None stays None. Raises InvalidSlicing."""
    if name is None:
        return None
    if name not in _DTYPES:
        raise InvalidSlicing("dtype", found=repr(name), expected=f"one of {', '.join(_DTYPES)}")
    return _DTYPES[name]
