"""Variants of toys, however little they save."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from freebits_codecs.symmetry import Variant, bits_back, make_variant, variants
from freebits_codecs.symmetry.testing import Stored, write_folder

MakeVariant = Callable[..., Variant]


@pytest.fixture
def variant_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeVariant:
    """variant_of(tensors, method, ...) makes a variant of a file, and every rotation pays."""
    monkeypatch.setattr(variants, "make_report", lambda *facts, **named: {"bytes": {"saved": 1}})
    monkeypatch.setattr(bits_back, "TURN_OVERHEAD_BITS", -(1 << 40))
    counter = iter(range(1 << 30))

    def make(tensors: Stored, method: str, *, name: str = "model.safetensors", **how: Any) -> Variant:
        folder = tmp_path / f"variant-{next(counter)}"
        target = folder / "target"
        target.mkdir(parents=True)
        return make_variant(write_folder(folder / "source", tensors, name), target, method, **how)

    return make
