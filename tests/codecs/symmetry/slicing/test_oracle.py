"""What the published tool itself made and computed (published/PROVENANCE.md)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from freebits_codecs.symmetry.slicing import SlicingOptions, load_dense, load_sliced, slice_folder

PUBLISHED = Path(__file__).parent / "published"


@pytest.fixture(params=["opt", "phi"])
def folder(request: pytest.FixtureRequest) -> Path:
    """A dense model, and beside it the same model sliced by the published tool."""
    return PUBLISHED / request.param


def test_its_file_runs_as_it_runs_it(folder: Path) -> None:
    """The logits that the published tool computes, from the .pt that it saved."""
    expected = load_file(folder / "expected.safetensors")
    found = load_sliced(folder / f"{folder.name}_0.3.pt").logits(expected["token_ids"])
    torch.testing.assert_close(found, expected["logits"], atol=2e-5, rtol=1e-5)
    dense = load_dense(folder).logits(expected["token_ids"])
    assert (dense - expected["logits"]).abs().max() > 0.1


def test_slicing_the_same_model_gives_the_same_function(folder: Path, tmp_path: Path) -> None:
    """The orientations are random, what is kept is not: same names, shapes, description and logits."""
    expected = load_file(folder / "expected.safetensors")
    options = SlicingOptions(0.3)
    slice_folder(folder, tmp_path / "ours", folder / "calibration.txt", options, samples=12, sequence_length=32)
    found = load_sliced(tmp_path / "ours").logits(expected["token_ids"])
    torch.testing.assert_close(found, expected["logits"], atol=5e-5, rtol=1e-5)
    theirs = torch.load(folder / f"{folder.name}_0.3.pt", weights_only=True)
    ours = load_file(tmp_path / "ours" / "model.safetensors")
    assert {name: tensor.shape for name, tensor in ours.items()} == {name: t.shape for name, t in theirs.items()}
    description = json.loads((folder / f"{folder.name}_0.3.json").read_text())
    assert json.loads((tmp_path / "ours" / "slicing.json").read_text()) == description
