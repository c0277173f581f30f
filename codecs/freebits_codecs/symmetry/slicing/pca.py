"""The basis a slot is rotated to: principal components of the signals there, the kept ones turned at random."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import torch
from torch import Tensor

Orientation: TypeAlias = Literal["random", "pca"]

DAMPING = 0.01
"""Of the mean variance, added to every variance."""


def principal_basis(signals: Iterable[Tensor], width: int) -> Tensor:
    """Orthogonal float64[width, width]: columns are principal directions of the signals, largest variance first.

    `signals` are float[..., width]; their mean is not subtracted, since the residual stream is not centred either.
    """
    moment = _second_moment(signals, width)
    moment.diagonal().add_(DAMPING * moment.diagonal().mean())
    vectors: Tensor = torch.linalg.eigh(moment).eigenvectors
    return vectors.flip(1)


def _second_moment(signals: Iterable[Tensor], width: int) -> Tensor:
    moment = torch.zeros(width, width, dtype=torch.float64)
    for signal in signals:
        rows = signal.reshape(-1, width).to(torch.float64)
        moment = moment.to(rows.device).addmm_(rows.T, rows)
    return moment


def turn_kept(basis: Tensor, kept: int, draw: torch.Generator) -> Tensor:
    """The basis with its first `kept` columns replaced by a random basis of the space they span.

    Spreads outliers over all columns, which helps quantisation later; the space that slicing keeps is the same.
    """
    turn = random_orthogonal(kept, draw).to(basis.device)
    return torch.cat((basis[:, :kept] @ turn, basis[:, kept:]), dim=1)


def random_orthogonal(size: int, draw: torch.Generator) -> Tensor:
    """float64[size, size], uniform over all orthogonal matrices."""
    gaussian = torch.randn(size, size, generator=draw, dtype=torch.float64)
    upper: Tensor
    orthogonal, upper = torch.linalg.qr(gaussian)
    return torch.mul(orthogonal, upper.diagonal().sign())
