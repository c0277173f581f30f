"""The dense forward pass is that of transformers, for every architecture."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from freebits_codecs.symmetry.slicing import load_dense


def tokens(count: int, batch: int = 2, vocabulary: int = 128) -> torch.Tensor:
    return torch.randint(3, vocabulary, (batch, count), generator=torch.Generator().manual_seed(5))


def test_logits_are_those_of_transformers(dense_folder: Path) -> None:
    """In float32, on random weights whose norms and biases matter."""
    theirs = AutoModelForCausalLM.from_pretrained(dense_folder, dtype=torch.float32).eval()
    ids = tokens(40)
    with torch.no_grad():
        expected = theirs(ids).logits
    found = load_dense(dense_folder).logits(ids)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_real_model(stories: Path) -> None:
    """stories260k, computed in float32."""
    theirs = AutoModelForCausalLM.from_pretrained(stories, dtype=torch.float32).eval()
    ids = tokens(200, vocabulary=512)
    with torch.no_grad():
        expected = theirs(ids).logits
    torch.testing.assert_close(load_dense(stories, dtype=torch.float32).logits(ids), expected, atol=1e-4, rtol=1e-4)
    assert load_dense(stories).logits(ids).dtype == torch.bfloat16


def test_generating_with_a_cache_equals_recomputing(dense_folder: Path) -> None:
    """Each greedy token is the likeliest of the whole text so far."""
    model, text = load_dense(dense_folder), tokens(9, batch=1)[0].tolist()
    new = model.generate(text, 8, end_tokens=())
    for token in new:
        assert token == int(model.logits(text)[-1].argmax())
        text.append(token)
    assert len(new) == 8
