"""What a variant saved and what it cost, for `freebits-report.json`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from freebits_codecs.files import encode_file
from freebits_codecs.inspection import inspect_container
from freebits_codecs.symmetry.bits_back import Outcome
from freebits_codecs.symmetry.checkpoint import Checkpoint
from freebits_codecs.symmetry.form import PART_PREFIX, Stored
from freebits_codecs.symmetry.logits import compare_logits
from freebits_codecs.symmetry.safetensors_file import SafetensorsFile
from freebits_codecs.symmetry.structure import is_sliced
from freebits_codecs.symmetry.turning import RoundingError, Turner

REPORT_VERSION = 1
_KINDS = (
    ("shortcut_Q", "shortcuts"),
    ("embed_", "embeddings"),
    ("lm_head", "head"),
    ("attn", "attention"),
    ("mlp", "mlp"),
    ("fc1", "mlp"),
    ("fc2", "mlp"),
    ("lora", "adapters"),
    ("w_a_", "adapters"),
    ("w_b_", "adapters"),
)


def make_report(
    method: str,
    checkpoint: Checkpoint,
    turner: Turner,
    outcome: Outcome,
    stored: Stored,
    plain: Path,
    container: Path,
    scratch: Path,
    *,
    token_ids: Sequence[int] | None,
    threads: int,
    turned_s: float,
) -> dict[str, Any]:
    """The report; bytes are whole numbers, times seconds, errors relative to the rms of each tensor."""
    began = time.perf_counter()
    before = _lossless(checkpoint, scratch, threads)
    after = _by_kind(container)
    before_nbytes, after_nbytes = sum(before.values()), stored.container_nbytes
    report: dict[str, Any] = {
        "version": REPORT_VERSION,
        "method": method,
        "algebra": turner.algebra.name,
        "bytes": {
            "source": sum(path.stat().st_size for path in checkpoint.paths),
            "plain": stored.nbytes,
            "lossless": before_nbytes,
            "stored": after_nbytes,
            "saved": before_nbytes - after_nbytes,
            "saved_share_of_lossless": 1 - after_nbytes / before_nbytes,
        },
        "saved_by_part": {kind: before.get(kind, 0) - after.get(kind, 0) for kind in sorted({*before, *after})},
        "weights": _errors(turner.errors.values()),
        "details": outcome.facts,
    }
    if is_sliced(checkpoint.names()):
        report["logits"] = compare_logits(checkpoint, plain, token_ids)
    if outcome.gain is not None:
        report["bits_back"] = {**asdict(outcome.gain), "net_bits": outcome.gain.net_bits}
    report["seconds"] = {"turning": turned_s, "comparing": time.perf_counter() - began}
    return report


def _errors(errors: Iterable[RoundingError]) -> dict[str, Any]:
    found = list(errors)
    if not found:
        return {"turned": 0, "max_relative_error": 0.0, "rms_relative_error": 0.0}
    return {
        "turned": len(found),
        "max_relative_error": max(error.maximum for error in found),
        "rms_relative_error": max(error.rms for error in found),
    }


def _lossless(checkpoint: Checkpoint, scratch: Path, threads: int) -> dict[str, int]:
    """Stored bytes by kind of tensor when the source is encoded as it is.

    Torch files are encoded as the safetensors file of their tensors: they may hold more than the tensors show of it.
    """
    paths = checkpoint.paths
    if paths[0].suffix != ".safetensors":
        file = SafetensorsFile(scratch / "source.safetensors", checkpoint.described(), {})
        for name in checkpoint.names():
            file.write(name, checkpoint.raw(name))
        file.seal()
        paths = [file.path]
    total: dict[str, int] = {}
    container = scratch / "lossless.fb"
    for path in paths:
        encode_file(path, container, threads=threads, sha256=False)
        for kind, nbytes in _by_kind(container).items():
            total[kind] = total.get(kind, 0) + nbytes
    return total


def _by_kind(container: Path) -> dict[str, int]:
    """Stored bytes by kind of tensor; what is in no tensor counts as "outside"."""
    inspection = inspect_container(container)
    total: dict[str, int] = {}
    for tensor in inspection.tensors:
        kind = _kind(tensor.name)
        total[kind] = total.get(kind, 0) + tensor.stored_nbytes
    total["outside"] = inspection.stored_nbytes - sum(total.values())
    return total


def _kind(name: str) -> str:
    if name.startswith(PART_PREFIX):
        return name.removeprefix(PART_PREFIX).partition(".")[0]
    return next((kind for text, kind in _KINDS if text in name), "other")
