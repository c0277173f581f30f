"""The weights of a whole model, checked against its config: of a dense one, and of a sliced one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from freebits_codecs.symmetry.slicing.architectures import HEAD
from freebits_codecs.symmetry.slicing.checkpoint import Checkpoint
from freebits_codecs.symmetry.slicing.config import ModelConfig
from freebits_codecs.symmetry.slicing.errors import NotSliced, UnusableCheckpoint
from freebits_codecs.symmetry.slicing.shapes import (
    dense_block_shapes,
    dense_outer_shapes,
    sliced_block_shapes,
    sliced_outer_shapes,
)


@dataclass(frozen=True, slots=True)
class Weights:
    """`outer` has full names; `blocks` have names relative to their block."""

    outer: dict[str, Tensor]
    blocks: list[dict[str, Tensor]]

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Weights:
        """The same on another device or in another type; tensors that need no change are shared."""
        return Weights(_moved(self.outer, device, dtype), [_moved(block, device, dtype) for block in self.blocks])

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors; a tied head does not count again."""
        tensors = [*self.outer.values(), *(tensor for block in self.blocks for tensor in block.values())]
        return sum(tensor.nbytes for tensor in {id(tensor): tensor for tensor in tensors}.values())

    def named(self, config: ModelConfig) -> dict[str, Tensor]:
        """All tensors by full name, in the order in which the model uses them: the head last."""
        before = {name: tensor for name, tensor in self.outer.items() if not name.startswith(HEAD)}
        after = {name: tensor for name, tensor in self.outer.items() if name.startswith(HEAD)}
        blocks = {
            config.architecture.block_prefix(layer) + name: tensor
            for layer, block in enumerate(self.blocks)
            for name, tensor in block.items()
        }
        return before | blocks | after


def read_dense(checkpoint: Checkpoint, config: ModelConfig) -> Weights:
    """A dense model's weights; a tied head is given its weight. Raises UnusableCheckpoint."""
    return Weights(
        read_dense_outer(checkpoint, config),
        [read_dense_block(checkpoint, config, layer) for layer in range(config.layer_count)],
    )


def read_dense_outer(checkpoint: Checkpoint, config: ModelConfig) -> dict[str, Tensor]:
    """Embeddings, final norm and head of a dense model, after a look that the config calls for every tensor."""
    outer = checkpoint.read(dense_outer_shapes(config))
    checkpoint.refuse_others(_dense_names(checkpoint, config))
    if config.has_tied_head:
        outer[f"{HEAD}.weight"] = outer[config.architecture.embeddings[0]]
    return outer


def read_dense_block(checkpoint: Checkpoint, config: ModelConfig, layer: int) -> dict[str, Tensor]:
    """One block of a dense model, names relative to it."""
    return checkpoint.read(dense_block_shapes(config), config.architecture.block_prefix(layer))


def read_sliced(checkpoint: Checkpoint, config: ModelConfig) -> Weights:
    """A sliced model's weights. Widths may differ from step to step and are read off the shortcuts.

    Raises NotSliced, UnusableCheckpoint.
    """
    if not checkpoint.is_sliced:
        raise NotSliced(checkpoint.where)
    widths = list(_sliced_widths(checkpoint, config))
    step_count = len(config.architecture.steps)
    outer = checkpoint.read(sliced_outer_shapes(config, widths[0], widths[-1]))
    blocks = []
    names = set(outer)
    for layer in range(config.layer_count):
        prefix = config.architecture.block_prefix(layer)
        here = widths[layer * step_count : (layer + 1) * step_count + 1]
        blocks.append(checkpoint.read(sliced_block_shapes(config, here), prefix))
        names.update(prefix + name for name in blocks[-1])
    checkpoint.refuse_others(names)
    return Weights(outer, blocks)


def _sliced_widths(checkpoint: Checkpoint, config: ModelConfig) -> Iterator[int]:
    """Width of the residual stream at every slot, from the embedding to the head."""
    width = _matrix(checkpoint, config.architecture.embeddings[0], config)[1]
    yield width
    for layer in range(config.layer_count):
        for step in config.architecture.steps:
            name = config.architecture.block_prefix(layer) + step.shortcut
            rows, columns = _matrix(checkpoint, name, config)
            if rows != width:
                raise UnusableCheckpoint(
                    f"{checkpoint.where}: tensor {name!r}, rows", found=rows, expected=f"the {width} columns before it"
                )
            width = columns
            yield width


def _matrix(checkpoint: Checkpoint, name: str, config: ModelConfig) -> tuple[int, int]:
    shape = checkpoint.shape(name)
    if len(shape) != 2 or not 0 < shape[1] <= config.hidden_size:
        raise UnusableCheckpoint(
            f"{checkpoint.where}: tensor {name!r}, shape",
            found=list(shape),
            expected=f"a matrix of 1 to {config.hidden_size} columns",
        )
    return shape[0], shape[1]


def _dense_names(checkpoint: Checkpoint, config: ModelConfig) -> Iterable[str]:
    yield from (name for name, _ in dense_outer_shapes(config))
    if config.has_tied_head:
        yield f"{HEAD}.weight"
    names = [name for name, _ in dense_block_shapes(config)]
    for layer in range(config.layer_count):
        prefix = config.architecture.block_prefix(layer)
        checkpoint.shape(prefix + names[0])  # raises at the first missing layer, however many the config claims
        yield from (prefix + name for name in names)


def _moved(tensors: dict[str, Tensor], device: torch.device | str, dtype: torch.dtype) -> dict[str, Tensor]:
    """Tensors that were one (a tied head) stay one."""
    moved = {id(tensor): tensor.to(device, dtype) for tensor in tensors.values()}
    return {name: moved[id(tensor)] for name, tensor in tensors.items()}
