"""How well a model predicts a text."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812  the customary name
from torch import Tensor

from freebits_codecs.symmetry.slicing.errors import InvalidSlicing
from freebits_codecs.symmetry.slicing.model import Model


def perplexity(model: Model, token_ids: Sequence[int] | Tensor, sequence_length: int) -> float:
    """exp of the mean negative log likelihood per predicted token.

    The text is cut into pieces of `sequence_length` tokens that know nothing of each other; all tokens but the first
    of a piece are predicted. The last piece may be shorter.

    Raises
    ------
    InvalidSlicing
        For fewer than two tokens or a `sequence_length` below two; and as `Model.logits`.
    """
    ids = torch.as_tensor(token_ids, dtype=torch.int64)
    if len(ids) < 2 or sequence_length < 2:
        raise InvalidSlicing(
            "perplexity", found=f"{len(ids)} tokens in pieces of {sequence_length}", expected="at least 2 each"
        )
    total, count = 0.0, 0
    for piece in torch.split(ids, sequence_length):
        if len(piece) > 1:
            logits = model.logits(piece)[:-1].float()
            total += float(F.cross_entropy(logits, piece[1:].to(logits.device), reduction="sum"))
            count += len(piece) - 1
    return math.exp(min(total / count, 700.0))
