"""Rotate every slot of the residual stream to its principal components, and leave out the small ones.

The procedure is SliceGPT's (arXiv 2401.15024): block by block, each calibrated on the output of what was sliced before.
One block at a time is held in float64; the calibration signals and the sliced weights stay in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from freebits_codecs.symmetry.slicing.architectures import HEAD, ResidualStep
from freebits_codecs.symmetry.slicing.block import Block, Place
from freebits_codecs.symmetry.slicing.checkpoint import Checkpoint
from freebits_codecs.symmetry.slicing.config import ModelConfig
from freebits_codecs.symmetry.slicing.device import check_device
from freebits_codecs.symmetry.slicing.errors import InvalidSlicing
from freebits_codecs.symmetry.slicing.fusion import fuse_block, fuse_outer
from freebits_codecs.symmetry.slicing.model import check_tokens, embed
from freebits_codecs.symmetry.slicing.pca import Orientation, principal_basis, turn_kept
from freebits_codecs.symmetry.slicing.rope import inverse_frequencies, rotation
from freebits_codecs.symmetry.slicing.weights import Weights, read_dense_block, read_dense_outer

SIGNAL_DTYPE = torch.float32
"""Calibration runs in it, whatever the checkpoint's type: half precision would blur small components."""


@dataclass(frozen=True, slots=True)
class SlicingOptions:
    """What to keep, and how to compute.

    `sparsity` is the part of the directions left out, 0 <= sparsity < 1; the number kept is rounded down to a multiple
    of `round_interval`. `seed` is that of random orientations. `dtype` is that of the result, by default the
    checkpoint's.
    """

    sparsity: float
    round_interval: int = 8
    orientation: Orientation = "random"
    seed: int = 42
    batch_size: int = 16
    device: str = "cpu"
    dtype: torch.dtype | None = None

    def kept(self, hidden_size: int) -> int:
        """How many of `hidden_size` directions are kept; all of them for sparsity 0. Raises InvalidSlicing."""
        if not 0 <= self.sparsity < 1:
            raise InvalidSlicing("sparsity", found=self.sparsity, expected="at least 0 and below 1")
        if self.sparsity == 0:
            return hidden_size
        kept = int((1 - self.sparsity) * hidden_size)
        kept -= kept % self.round_interval
        if kept == 0:
            raise InvalidSlicing(
                "sparsity",
                found=f"{self.sparsity}, which keeps nothing of a hidden size of {hidden_size}",
                expected=f"at least {self.round_interval} directions to be left",
            )
        return kept


Report: TypeAlias = Callable[[int, int, int], None]
"""Told, after each block and at the end: bytes sliced, bytes in all, bytes that were left of those sliced."""


@torch.inference_mode()
def slice_weights(
    checkpoint: Checkpoint,
    config: ModelConfig,
    windows: Tensor,
    options: SlicingOptions,
    report: Report = lambda done, total, left: None,
) -> Weights:
    """The weights of the sliced model.

    Parameters
    ----------
    checkpoint
        A dense one, named as the architecture spells it.
    windows : int64[samples, sequence_length]
        Token ids to calibrate on.

    Raises
    ------
    UnusableCheckpoint, InvalidSlicing
    """
    kept = options.kept(config.hidden_size)
    check_device(options.device)
    check_tokens(windows, config)
    dense_outer = read_dense_outer(checkpoint, config)
    outer = fuse_outer(config, {name: tensor.to(options.device) for name, tensor in dense_outer.items()})
    slicer = _Slicer(config, options, kept, dtype=options.dtype or checkpoint.dtype)
    sliced_outer = slicer.begin(outer, windows)
    blocks: list[dict[str, Tensor]] = []
    done, left = 0, _nbytes(sliced_outer)
    for layer in range(config.layer_count):
        dense = read_dense_block(checkpoint, config, layer)
        fused = fuse_block(config, {name: tensor.to(options.device) for name, tensor in dense.items()})
        blocks.append(slicer.slice_block(fused, is_last=layer == config.layer_count - 1))
        done, left = done + _nbytes(dense), left + _nbytes(blocks[-1])
        report(done, checkpoint.nbytes, left)
    weights = Weights({**sliced_outer, **slicer.end(outer)}, blocks)
    report(checkpoint.nbytes, checkpoint.nbytes, weights.nbytes)
    return weights


class _Slicer:
    """Walks the residual stream: the signals at the current slot, and the basis that slot was rotated to.

    The signals are those of the model as sliced so far, in all D directions of the fused model, of which the basis
    says which are kept.
    """

    def __init__(self, config: ModelConfig, options: SlicingOptions, kept: int, *, dtype: torch.dtype) -> None:
        self._config, self._options, self._kept, self._dtype = config, options, kept, dtype
        self._draw = torch.Generator().manual_seed(options.seed)
        self._signals: list[Tensor] = []
        self._place = Place(None)
        self._basis = torch.empty(0)

    def begin(self, outer: dict[str, Tensor], windows: Tensor) -> dict[str, Tensor]:
        """The sliced embeddings; their outputs are the first signals."""
        names = self._config.architecture.embeddings
        narrow = {name: outer[name].to(SIGNAL_DTYPE) for name in names}
        for batch in torch.split(windows, self._options.batch_size):
            self._signals.append(embed(batch.to(self._options.device), narrow, self._config).cpu())
        if self._config.rope is not None:
            frequencies = inverse_frequencies(self._config.rope).to(self._options.device)
            self._place = Place(rotation(frequencies, 0, windows.shape[1], SIGNAL_DTYPE))
        self._basis = self._next_basis(self._kept)
        return self._cast({name: outer[name] @ self._basis[:, : self._kept] for name in names})

    def slice_block(self, weights: dict[str, Tensor], *, is_last: bool) -> dict[str, Tensor]:
        """The sliced block, from a fused one in float64."""
        steps = self._config.architecture.steps
        for step in steps:
            is_end = is_last and step is steps[-1]  # the head reads all directions
            self._slice_step(weights, step, width_out=self._config.hidden_size if is_end else self._kept)
        return self._cast(weights)

    def end(self, outer: dict[str, Tensor]) -> dict[str, Tensor]:
        """The head, which reads the rotated stream."""
        head = {name: outer[name] for name in (f"{HEAD}.weight", f"{HEAD}.bias") if name in outer}
        head[f"{HEAD}.weight"] = head[f"{HEAD}.weight"] @ self._basis
        return self._cast(head)

    def _slice_step(self, weights: dict[str, Tensor], step: ResidualStep, width_out: int) -> None:
        """Slice one step in place, and move on to the slot behind it."""
        kept = self._basis[:, : self._kept]
        for linear in step.reads:
            weights[f"{linear}.weight"] = weights[f"{linear}.weight"] @ kept
        weights[step.shortcut] = kept.T
        self._run(weights, step)
        self._basis = self._next_basis(width_out)
        turn = self._basis[:, :width_out]
        weights[step.shortcut] = weights[step.shortcut] @ turn
        for linear in step.writes:
            for name in (f"{linear}.weight", f"{linear}.bias"):
                if name in weights:
                    weights[name] = turn.T @ weights[name]

    def _run(self, weights: dict[str, Tensor], step: ResidualStep) -> None:
        """Replace the signals before a step by those behind it, where they have all directions again."""
        block = Block(self._config, {name: tensor.to(SIGNAL_DTYPE) for name, tensor in weights.items()})
        kept = self._basis[:, : self._kept].to(SIGNAL_DTYPE)
        for i, signal in enumerate(self._signals):
            self._signals[i] = block.run_step(step, signal.to(kept.device) @ kept, self._place).cpu()

    def _next_basis(self, width: int) -> Tensor:
        basis = principal_basis(self._on_device(), self._config.hidden_size)
        return turn_kept(basis, width, self._draw) if self._options.orientation == "random" else basis

    def _on_device(self) -> Iterator[Tensor]:
        return (signal.to(self._options.device) for signal in self._signals)

    def _cast(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The one rounding, from float64 to the type of the result."""
        return {name: tensor.to("cpu", self._dtype).contiguous() for name, tensor in tensors.items()}


def _nbytes(tensors: dict[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())
