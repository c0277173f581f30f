"""Small checkpoints in the form that slicing leaves: random weights, and a shortcut matrix after every half block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save


def sliced_model(seed: int = 0, size: int = 64, layers: int = 2) -> bytes:
    """A safetensors file of a sliced Llama; half a megabyte for `size` 64."""
    rng = np.random.default_rng(seed)

    def weight(rows: int, columns: int) -> NDArray[np.float32]:
        return (rng.standard_normal((rows, columns)) / np.sqrt(columns)).astype(np.float32)

    tensors = {"model.embed_tokens.weight": weight(128, size), "lm_head.weight": weight(128, size)}
    for layer in range(layers):
        prefix = f"model.layers.{layer}"
        tensors |= {f"{prefix}.self_attn.{name}_proj.weight": weight(size, size) for name in "qkvo"}
        tensors |= {f"{prefix}.mlp.{name}_proj.weight": weight(160, size) for name in ("gate", "up")}
        tensors[f"{prefix}.mlp.down_proj.weight"] = weight(size, 160)
        for name in ("attn", "mlp"):
            tensors[f"{prefix}.{name}_shortcut_Q"] = np.linalg.qr(weight(size, size))[0].astype(np.float32)
    return save(tensors)
