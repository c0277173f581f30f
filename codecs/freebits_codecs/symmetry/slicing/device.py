"""Where to compute."""

from __future__ import annotations

import torch

from freebits_codecs.symmetry.slicing.errors import InvalidSlicing


def check_device(device: torch.device | str) -> None:
    """Raise InvalidSlicing unless torch can use the device on this machine."""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # a torch without CUDA asserts
        reason = str(error).splitlines()[0][:120]
        raise InvalidSlicing(
            "device", found=f"{str(device)!r} ({reason})", expected="one torch can use here, as 'cpu'"
        ) from None
