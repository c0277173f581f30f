"""LoRA adapters: bits-back over rotations, and the gauge that drops r^2 numbers of a pair."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from markdown_table import markdown

from freebits_codecs.errors import NotSymmetric
from freebits_codecs.symmetry import make_variant
from freebits_codecs.symmetry.floats import FLOAT_TYPES
from freebits_codecs.symmetry.safetensors_file import Described, SafetensorsFile

RANKS = (16, 64, 256)
WIDTH, PAIRS = 2048, 6
ANY_ERROR = float("inf")


def adapters_table(folder: Path | None) -> str:
    """Stored bytes beside plain lossless coding; of the gauge with its limit on rounding errors, and without."""
    heads = ["adapter", "lossless, bytes", "bits-back", "lora-gauge", "pairs in the gauge"]
    heads += ["lora-gauge, any error", "largest error / own rounding"]
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for number, (name, path) in enumerate(_adapters(folder, Path(scratch))):
            source = Path(scratch, f"source-{number}")
            source.mkdir()
            shutil.copy(path, source / "adapter_model.safetensors")
            rows.append([name, *_row(source)])
    return markdown("LoRA adapters", heads, rows)


def _row(source: Path) -> list[str]:
    facts = [_variant(source, "bits-back"), _variant(source, "lora-gauge"), _variant(source, "lora-gauge", ANY_ERROR)]
    reports = [report for report, _ in facts if report]
    lossless = f"{reports[0]['bytes']['lossless']}" if reports else "-"
    gauge, free = facts[1][0], facts[2][0]
    pairs = "-" if not gauge else f"{gauge['details']['pairs'] - len(gauge['details']['pairs_refused'])}"
    error = "-" if not free else f"{free['details']['largest_error_over_own_rounding']:.2f}"
    return [lossless, facts[0][1], facts[1][1], pairs, facts[2][1], error]


def _variant(source: Path, method: str, max_error: float = 1.0) -> tuple[dict[str, dict[str, float]] | None, str]:
    """The report and how much was saved, or None and why not."""
    with tempfile.TemporaryDirectory() as target:
        try:
            report = make_variant(source, Path(target), method, max_error=max_error).report
        except NotSymmetric as refusal:
            return None, "refused: rounding" if "rounding" in refusal.reason else "refused: saves nothing"
    return report, f"{-100 * report['bytes']['saved_share_of_lossless']:+.2f} %"


def _adapters(folder: Path | None, scratch: Path) -> Iterator[tuple[str, Path]]:
    for dtype in ("F32", "BF16"):
        for rank in RANKS:
            path = scratch / f"rank{rank}-{dtype}.safetensors"
            _write_adapter(path, rank, dtype)
            yield f"synthetic, {WIDTH} x {WIDTH}, rank {rank}, {dtype}", path
    for path in sorted(folder.rglob("*.safetensors")) if folder else ():
        yield str(path.relative_to(folder)) if folder else path.name, path


def _write_adapter(path: Path, rank: int, dtype: str) -> None:
    """Pairs of independent normal numbers: A as it is initialised, B as if trained in all directions alike."""
    rng, kind = np.random.default_rng(rank), FLOAT_TYPES[dtype]
    tensors = {}
    for number in range(PAIRS):
        tensors[f"layers.{number}.q_proj.lora_A.weight"] = rng.standard_normal((rank, WIDTH)) / np.sqrt(WIDTH)
        tensors[f"layers.{number}.q_proj.lora_B.weight"] = rng.standard_normal((WIDTH, rank)) / 100
    file = SafetensorsFile(path, [Described(name, dtype, array.shape) for name, array in tensors.items()], {})
    for name, array in tensors.items():
        file.write(name, kind.rounded(array).tobytes())
    file.finish()
