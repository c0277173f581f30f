"""How far a variant's logits are from its source's, where the architecture is known."""

from __future__ import annotations

import importlib.util
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freebits_codecs.errors import CodecError
from freebits_codecs.symmetry.checkpoint import Checkpoint

if TYPE_CHECKING:
    from freebits_codecs.symmetry.slicing import Model

DEFAULT_TOKENS = 64
MAX_COMPARED_NBYTES = 8 << 30
"""Weights in float32 beyond which no model is run for its logits: it would be loaded into memory whole."""

_STRIDE = 7919
_BESIDE = ("config.json", "slicing.json")


def compare_logits(checkpoint: Checkpoint, plain: Path, token_ids: Sequence[int] | None = None) -> dict[str, Any]:
    """Errors of the logits of `plain`, the variant of `checkpoint`, on the same tokens, in float32.

    Over the rms of the source's logits: {"max_relative_error", "rms_relative_error", "tokens", "same_top_token"}; or
    {"skipped": why} when the model cannot be run here. Without `token_ids`, 64 that are spread over the vocabulary.
    """
    if not (checkpoint.folder / "config.json").is_file():
        return {"skipped": "no config.json beside the weights"}
    missing = next((name for name in ("torch", "tokenizers") if importlib.util.find_spec(name) is None), None)
    if missing:
        return {"skipped": f"{missing} is not installed"}
    nbytes = 4 * sum(math.prod(checkpoint.shape(name)) for name in checkpoint.names())
    if nbytes > MAX_COMPARED_NBYTES:
        return {"skipped": f"{nbytes} bytes of weights in float32, at most {MAX_COMPARED_NBYTES} are run"}
    try:
        return _compare(checkpoint, plain, token_ids)
    except (CodecError, OSError) as error:
        return {"skipped": f"{type(error).__name__}: {error}"[:500]}


def _compare(checkpoint: Checkpoint, plain: Path, token_ids: Sequence[int] | None) -> dict[str, Any]:
    import torch  # noqa: PLC0415 - whoever has none gets no logits

    from freebits_codecs.symmetry.slicing import load  # noqa: PLC0415

    only = checkpoint.paths[0]
    with tempfile.TemporaryDirectory() as name:
        before = load(checkpoint.folder if only.suffix == ".safetensors" else only, dtype=torch.float32)
        ids = list(token_ids) if token_ids is not None else _spread(before)
        expected = before.logits(ids)
        del before
        after = load(_folder(Path(name), checkpoint.folder, plain), dtype=torch.float32)
        found = after.logits(ids)
    scale, error = expected.square().mean().sqrt(), (found - expected).abs()
    return {
        "tokens": len(ids),
        "max_relative_error": float(error.max() / scale),
        "rms_relative_error": float(error.square().mean().sqrt() / scale),
        "same_top_token": float((found.argmax(-1) == expected.argmax(-1)).float().mean()),
    }


def _spread(model: Model) -> list[int]:
    count = min(DEFAULT_TOKENS, model.config.max_positions)
    return [(1 + number * _STRIDE) % model.config.vocabulary_size for number in range(count)]


def _folder(folder: Path, source: Path, plain: Path) -> Path:
    """What a client would have after downloading the variant."""
    (folder / "model.safetensors").symlink_to(plain.absolute())
    for name in _BESIDE:
        if (source / name).is_file():
            (folder / name).symlink_to((source / name).absolute())
    return folder
