"""Causal attention over what came before: grouped heads, a sliding window, a cache of keys and values."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F  # noqa: N812  the customary name
from torch import Tensor


@dataclass(slots=True)
class LayerCache:
    """Keys and values of one layer: each [batch, key_value_heads, positions, head_dim], or None at first."""

    keys: Tensor | None = None
    values: Tensor | None = None

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append along positions; all keys and values so far."""
        if self.keys is not None and self.values is not None:
            keys, values = torch.cat((self.keys, keys), dim=2), torch.cat((self.values, values), dim=2)
        self.keys, self.values = keys, values
        return keys, values


@dataclass(slots=True)
class Cache:
    """What a model has seen: `length` positions, one LayerCache per block."""

    layers: list[LayerCache]
    length: int = 0

    @classmethod
    def empty(cls, layer_count: int) -> Cache:
        return cls([LayerCache() for _ in range(layer_count)])


@dataclass(frozen=True, slots=True)
class HeadLayout:
    """How the stacked projections fall into heads."""

    head_count: int
    key_value_head_count: int
    head_dim: int
    widths: tuple[int, int, int] = field(init=False)

    def __post_init__(self) -> None:
        key_value = self.key_value_head_count * self.head_dim
        object.__setattr__(self, "widths", (self.head_count * self.head_dim, key_value, key_value))

    def split(self, projected: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """q, k, v as [batch, heads, positions, head_dim], from three projections or one with all stacked."""
        parts = projected if len(projected) > 1 else torch.split(projected[0], list(self.widths), dim=-1)
        query, key, value = (part.view(*part.shape[:2], -1, self.head_dim).transpose(1, 2) for part in parts)
        return query, key, value


def attend(query: Tensor, keys: Tensor, values: Tensor, window: int | None) -> Tensor:
    """Softmax attention of the last positions over all.

    query [batch, heads, n, head_dim]; keys, values [batch, key_value_heads, m, head_dim] with m >= n, whose last n
    positions are the query's. A position sees itself and what came before, at most `window` positions in all.
    Returns [batch, n, heads * head_dim].
    """
    count, total = query.shape[2], keys.shape[2]
    mask = None
    if (window is not None and window < total) or 1 < count < total:
        mask = _mask(count, total, window, query.device)
    context = F.scaled_dot_product_attention(
        query,
        keys,
        values,
        attn_mask=mask,
        is_causal=mask is None and count > 1,
        enable_gqa=query.shape[1] != keys.shape[1],
    )
    return context.transpose(1, 2).flatten(2)


def _mask(count: int, total: int, window: int | None, device: torch.device) -> Tensor:
    """bool[count, total]: True where a position may look."""
    at = torch.arange(total - count, total, device=device)[:, None]
    seen = torch.arange(total, device=device)
    visible = seen <= at
    return visible if window is None else visible & (seen > at - window)
