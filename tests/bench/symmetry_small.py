"""Real models, small enough to be sliced and run here: stories260k, and one trained on text of this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from markdown_table import markdown
from trained_model import train_model

from freebits_codecs import FileSource, encode
from freebits_codecs.symmetry import expand, make_variant
from freebits_codecs.symmetry.slicing import (
    SlicingOptions,
    encode_text,
    load,
    perplexity,
    read_text,
    read_tokenizer,
    slice_folder,
)

STORIES = Path(__file__).parents[1] / "data" / "checkpoints" / "stories260k-bf16"
SPARSITIES = (0.2, 0.25, 0.3)
METHODS = ("bits-back", "gauge-triangular", "gauge-polar")
SEQUENCE_LENGTH = 256
SAMPLES = 64
STORIES_TOLD = 50
TRAINED = Path(__file__).parents[2] / ".data" / "bench-symmetry"


def small_models_table() -> str:
    """Perplexity before slicing, after it, and of each variant; stored bytes of each, encoded."""
    heads = ["model", "slicing", "dense, bytes stored", "sliced", *(f"{method}" for method in METHODS)]
    heads += ["perplexity dense", "sliced", *(f"{method}" for method in METHODS), "largest logit error / rms"]
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, folder, calibration, evaluation in _models(Path(scratch)):
            for sparsity in SPARSITIES:
                rows.append([name, f"{100 * sparsity:.0f} %", *_measure(folder, calibration, evaluation, sparsity)])
    return markdown("Real models, F16 after slicing", heads, rows)


def _measure(folder: Path, calibration: Path, evaluation: Path, sparsity: float) -> list[str]:
    ids = encode_text(read_tokenizer(folder), read_text(evaluation))
    with tempfile.TemporaryDirectory() as name:
        sliced = Path(name, "sliced")
        options = SlicingOptions(sparsity=sparsity, dtype=torch.float16)
        slice_folder(folder, sliced, calibration, options, samples=SAMPLES, sequence_length=SEQUENCE_LENGTH)
        reports, perplexities = [], []
        for method in METHODS:
            report, found = _variant(sliced, Path(name, method), method, ids)
            reports.append(report)
            perplexities.append(found)
        sizes = [_encoded_nbytes(folder), reports[0]["bytes"]["lossless"], *(r["bytes"]["stored"] for r in reports)]
        measured = [perplexity(load(path), ids, SEQUENCE_LENGTH) for path in (folder, sliced)]
    error = max(report["logits"]["max_relative_error"] for report in reports)
    return [*map(str, sizes), *(f"{value:.4f}" for value in [*measured, *perplexities]), f"{error:.1e}"]


def _variant(sliced: Path, target: Path, method: str, ids: Any) -> tuple[dict[str, Any], float]:
    """The report, and the perplexity of what a client downloads."""
    target.mkdir()
    variant = make_variant(sliced, target, method)
    folder = target / "downloaded"
    folder.mkdir()
    expand(FileSource(variant.files[0].container), folder / variant.files[0].path)
    for file in ("config.json", "slicing.json"):
        (folder / file).write_bytes((sliced / file).read_bytes())
    return variant.report, perplexity(load(folder), ids, SEQUENCE_LENGTH)


def _encoded_nbytes(folder: Path) -> int:
    """The dense model's weights, losslessly encoded."""
    return sum(len(encode(path.read_bytes())) for path in folder.glob("*.safetensors"))


def _models(scratch: Path) -> Iterator[tuple[str, Path, Path, Path]]:
    """Name, folder, calibration text, evaluation text."""
    stories = load(STORIES, dtype=torch.float32)
    tokenizer = read_tokenizer(STORIES)
    texts = []
    for seed in (1, 2):
        ids: list[int] = []
        for story in range(STORIES_TOLD):
            ids += map(int, stories.generate([1], max_new_tokens=400, temperature=1.0, seed=1000 * seed + story))
        texts.append(scratch / f"stories-{seed}.txt")
        texts[-1].write_text(tokenizer.decode(ids, skip_special_tokens=True))
    yield "stories260k (0.26 M, tied head)", STORIES, texts[0], texts[1]
    model, calibration, evaluation = train_model(TRAINED)
    yield "Llama on Python's library (4.2 M)", model, calibration, evaluation
