"""A model sliced, pushed, made into variants by the hub's worker, pulled and run; an adapter likewise."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from freebits_codecs.symmetry.slicing import SlicingOptions, load, read_tokenizer, slice_folder

STORIES = Path(__file__).parents[1] / "data" / "checkpoints" / "stories260k-bf16"
METHODS = ("bits-back", "gauge-polar", "gauge-triangular")
RANK, WIDTH = 64, 256
TOKENS = list(range(1, 100))
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def sliced(home: Path) -> Path:
    """A quarter less of stories260k, calibrated on what it tells."""
    model, tokenizer = load(STORIES, dtype=torch.float32), read_tokenizer(STORIES)
    told = [token for seed in range(8) for token in model.generate([1], 200, temperature=1.0, seed=seed)]
    (home / "text").write_text(tokenizer.decode(told))
    options = SlicingOptions(sparsity=0.25, dtype=torch.float16)
    slice_folder(STORIES, home / "sliced", home / "text", options, samples=8, sequence_length=100)
    return home / "sliced"


def test_variants_are_made_listed_pulled_and_run(
    own_hub: Any, cli: Cli, sliced: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FREEBITS_ENDPOINT", own_hub.endpoint)
    assert cli("push", sliced, "admin/sliced")[0] == 0
    source = load(sliced, dtype=torch.float32)
    expected = source.logits(TOKENS)
    for method in METHODS:
        inputs = f"token_ids={TOKENS}"
        status, _, err = cli("variant", "create", "admin/sliced", "--method", method, "--set", inputs, "--wait")
        assert status == 0, err
        assert cli("pull", "admin/sliced", "--revision", method, "-o", home / method)[0] == 0
        pulled = load(home / method, dtype=torch.float32)
        found = pulled.logits(TOKENS)
        error = (found - expected).abs().max() / expected.square().mean().sqrt()
        report = json.loads((home / method / "freebits-report.json").read_text())
        assert 0 < error < 3e-3
        assert report["logits"]["tokens"] == len(TOKENS)
        assert 0 < report["logits"]["max_relative_error"] < 3e-3
        assert report["bytes"]["saved"] > 0
        assert (found.argmax(-1) == expected.argmax(-1)).float().mean() > 0.9
        assert len(pulled.generate([1], 20)) > 0
    listed = json.loads(cli("variant", "ls", "admin/sliced", "--json")[1])
    assert {(variant["method"], variant["state"]) for variant in listed} == {(method, "done") for method in METHODS}


def test_an_adapter_in_its_gauge(own_hub: Any, cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEBITS_ENDPOINT", own_hub.endpoint)
    folder = home / "adapter"
    folder.mkdir()
    save_file(_adapter(np.random.default_rng(3)), folder / "adapter_model.safetensors")
    assert cli("push", folder, "admin/adapter")[0] == 0
    status, _, err = cli("variant", "create", "admin/adapter", "--method", "lora-gauge", "--to", "small", "--wait")
    assert status == 0, err
    assert cli("pull", "admin/adapter", "--revision", "small", "-o", home / "small")[0] == 0
    before, after = (load_file(path / "adapter_model.safetensors") for path in (folder, home / "small"))
    for layer in range(2):
        name = f"layers.{layer}.q_proj.lora_{{}}.weight"
        exact, found = (tensors[name.format("B")] @ tensors[name.format("A")] for tensors in (before, after))
        assert not np.array_equal(before[name.format("A")], after[name.format("A")])
        assert np.abs(found - exact).max() < 1e-5 * np.abs(exact).max()
    report = json.loads((home / "small" / "freebits-report.json").read_text())
    assert report["bytes"]["saved"] > 0.05 * report["bytes"]["lossless"]


def _adapter(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Pairs whose A has r columns that are nearly orthogonal, in a basis in which one cannot see it."""
    tensors = {}
    for layer in range(2):
        basis, _ = np.linalg.qr(rng.standard_normal((RANK, RANK)))
        a = basis @ np.hstack([np.eye(RANK), 0.05 * rng.standard_normal((RANK, WIDTH - RANK))])
        tensors[f"layers.{layer}.q_proj.lora_A.weight"] = a.astype(np.float32)
        tensors[f"layers.{layer}.q_proj.lora_B.weight"] = rng.standard_normal((WIDTH, RANK)).astype(np.float32)
    return tensors
