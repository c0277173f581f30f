"""A model that runs: logits of a text, and text from a model. Dense and sliced weights alike."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812  the customary name
from torch import Tensor

from freebits_codecs.symmetry.slicing.architectures import HEAD
from freebits_codecs.symmetry.slicing.attention import Cache
from freebits_codecs.symmetry.slicing.block import Block, Place, dense_norm, linear, norm_without_parameters
from freebits_codecs.symmetry.slicing.config import ModelConfig
from freebits_codecs.symmetry.slicing.errors import InvalidSlicing
from freebits_codecs.symmetry.slicing.rope import inverse_frequencies, rotation
from freebits_codecs.symmetry.slicing.shapes import POSITION_OFFSET
from freebits_codecs.symmetry.slicing.weights import Weights


class Model:
    """A decoder with its weights on one device, in one type.

    Attributes: `config`; `device` and `dtype` of the weights; `is_sliced`; `nbytes` of all distinct weights.
    """

    def __init__(self, config: ModelConfig, weights: Weights) -> None:
        self.config, self._outer = config, weights.outer
        self._blocks = [Block(config, block) for block in weights.blocks]
        embedding = weights.outer[config.architecture.embeddings[0]]
        self.device, self.dtype = embedding.device, embedding.dtype
        self.is_sliced = any(step.shortcut in weights.blocks[0] for step in config.architecture.steps)
        self.nbytes = weights.nbytes
        self._frequencies = None if config.rope is None else inverse_frequencies(config.rope).to(self.device)

    @torch.inference_mode()
    def logits(self, token_ids: Sequence[int] | Tensor) -> Tensor:
        """Scores of the next token after every position.

        Parameters
        ----------
        token_ids : int[n] or int[batch, n]
            Below the vocabulary size; n at least 1.

        Returns
        -------
        dtype[n, vocabulary] or dtype[batch, n, vocabulary]

        Raises
        ------
        InvalidSlicing
            For token ids outside of the vocabulary, or more positions than the model has learned.
        """
        ids = torch.as_tensor(token_ids, dtype=torch.int64)
        check_tokens(ids, self.config)
        logits = self._head(self._run(ids.reshape(-1, ids.shape[-1])))
        return logits.reshape(*ids.shape, -1)

    @torch.inference_mode()
    def generate(
        self,
        token_ids: Sequence[int] | Tensor,
        max_new_tokens: int,
        *,
        temperature: float = 0.0,
        seed: int = 0,
        end_tokens: Sequence[int] | None = None,
    ) -> list[int]:
        """Continue one text; the new tokens only, an end token included.

        Parameters
        ----------
        token_ids : int[n]
            The prompt; n at least 1.
        temperature
            0 takes the likeliest token each time; otherwise tokens are drawn from softmax(logits / temperature).
        seed
            Of the draws; the same seed gives the same text on the same machine.
        end_tokens
            Where to stop; by default those of the config.

        Raises
        ------
        InvalidSlicing
            As `logits`; learned positions bound prompt and new tokens together.
        """
        ends = self.config.end_tokens if end_tokens is None else end_tokens
        draw = torch.Generator().manual_seed(seed)
        cache = Cache.empty(len(self._blocks))
        new: list[int] = []
        ids = torch.as_tensor(token_ids, dtype=torch.int64).reshape(1, -1)
        check_tokens(ids, self.config)
        while len(new) < max_new_tokens and not (new and new[-1] in ends):
            scores = self._head(self._run(ids, cache)[:, -1])[0].float().cpu()
            new.append(_choose(scores, temperature, draw))
            ids = torch.tensor([new[-1:]])
        return new

    def _run(self, ids: Tensor, cache: Cache | None = None) -> Tensor:
        """Residual stream after the last block: [batch, n, width]; a cache is extended."""
        start = cache.length if cache else 0
        stop = start + ids.shape[1]
        x = embed(ids.to(self.device), self._outer, self.config, start)
        turn = None if self._frequencies is None else rotation(self._frequencies, start, stop, self.dtype)
        for layer, block in enumerate(self._blocks):
            x = block(x, Place(turn, cache.layers[layer] if cache else None))
        if cache:
            cache.length = stop
        return x

    def _head(self, x: Tensor) -> Tensor:
        if self.is_sliced:
            normed = norm_without_parameters(x, self.config.hidden_size, self.config.eps)
        else:
            normed = dense_norm(x, self._outer, self.config.architecture.final_norm, self.config)
        return linear(normed, self._outer, HEAD)


def embed(ids: Tensor, outer: dict[str, Tensor], config: ModelConfig, start: int = 0) -> Tensor:
    """Rows of the token embedding, plus those of the learned positions from `start` on."""
    tokens, *positions = config.architecture.embeddings
    x = F.embedding(ids, outer[tokens])
    stop = start + ids.shape[1]
    if not positions:
        return x
    if stop > config.max_positions:
        raise InvalidSlicing(
            "positions", found=stop, expected=f"at most the {config.max_positions} that this model has learned"
        )
    return x + outer[positions[0]][start + POSITION_OFFSET : stop + POSITION_OFFSET]


def check_tokens(ids: Tensor, config: ModelConfig) -> None:
    """Raise InvalidSlicing unless there are tokens, all in the vocabulary."""
    if ids.numel() == 0:
        raise InvalidSlicing("token ids", found="none", expected="at least one")
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= config.vocabulary_size:
        raise InvalidSlicing(
            "token ids", found=f"{low} to {high}", expected=f"0 to {config.vocabulary_size - 1}, the vocabulary"
        )


def _choose(scores: Tensor, temperature: float, draw: torch.Generator) -> int:
    if temperature == 0:
        return int(scores.argmax())
    return int(torch.multinomial((scores / temperature).softmax(dim=-1), 1, generator=draw))
