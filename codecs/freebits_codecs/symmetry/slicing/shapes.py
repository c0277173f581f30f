"""Which tensors a checkpoint must have, and in which shapes: dense ones from the config, sliced ones from widths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from freebits_codecs.symmetry.slicing.architectures import HEAD, NormKind
from freebits_codecs.symmetry.slicing.config import ModelConfig, biased_when_sliced

Shape: TypeAlias = tuple[int, ...]
NamedShape: TypeAlias = tuple[str, Shape]

POSITION_OFFSET = 2
"""OPT's table of positions begins with two rows that no position uses."""


def dense_block_shapes(config: ModelConfig) -> Iterator[NamedShape]:
    """Tensors of a block of the dense model, names relative to it."""
    width = config.hidden_size
    for step in config.architecture.steps:
        yield from _norm_shapes(config, step.norm)
        yield from _linear_shapes(config, step.reads, width_in=width, is_sliced=False)
        yield from _linear_shapes(config, step.writes, width_out=width, is_sliced=False)


def sliced_block_shapes(config: ModelConfig, widths: Sequence[int]) -> Iterator[NamedShape]:
    """Tensors of a sliced block whose residual stream has `widths` before, between and after its steps."""
    for step, width_in, width_out in zip(config.architecture.steps, widths[:-1], widths[1:], strict=True):
        yield step.shortcut, (width_in, width_out)
        yield from _linear_shapes(config, step.reads, width_in=width_in, is_sliced=True)
        yield from _linear_shapes(config, step.writes, width_out=width_out, is_sliced=True)


def embedding_shapes(config: ModelConfig, width: int) -> Iterator[NamedShape]:
    """Embeddings of tokens, and of positions where they are learned."""
    rows = (config.vocabulary_size, config.max_positions + POSITION_OFFSET)
    for name, count in zip(config.architecture.embeddings, rows, strict=False):
        yield name, (count, width)


def dense_outer_shapes(config: ModelConfig) -> Iterator[NamedShape]:
    """Everything outside the blocks of a dense model; a tied head has no weight of its own."""
    yield from embedding_shapes(config, config.hidden_size)
    yield from _norm_shapes(config, config.architecture.final_norm)
    if not config.has_tied_head:
        yield f"{HEAD}.weight", (config.vocabulary_size, config.hidden_size)
    if HEAD in config.biased:
        yield f"{HEAD}.bias", (config.vocabulary_size,)


def sliced_outer_shapes(config: ModelConfig, first_width: int, last_width: int) -> Iterator[NamedShape]:
    """Everything outside the blocks of a sliced model."""
    yield from embedding_shapes(config, first_width)
    yield f"{HEAD}.weight", (config.vocabulary_size, last_width)
    if biased_when_sliced(config, HEAD):
        yield f"{HEAD}.bias", (config.vocabulary_size,)


def _norm_shapes(config: ModelConfig, name: str) -> Iterator[NamedShape]:
    yield f"{name}.weight", (config.hidden_size,)
    if config.architecture.norm is NormKind.LAYER:
        yield f"{name}.bias", (config.hidden_size,)


def _linear_shapes(
    config: ModelConfig, names: Sequence[str], *, width_in: int = 0, width_out: int = 0, is_sliced: bool
) -> Iterator[NamedShape]:
    """Linears of which one side is the residual stream, `width_in` or `width_out` wide; the other is the block's."""
    for name in names:
        inner = _inner_width(config, name)
        rows, columns = (inner, width_in) if width_in else (width_out, inner)
        yield f"{name}.weight", (rows, columns)
        if biased_when_sliced(config, name) if is_sliced else name in config.biased:
            yield f"{name}.bias", (rows,)


def _inner_width(config: ModelConfig, linear: str) -> int:
    names = config.architecture
    if linear == names.attention_output:
        return config.query_width
    if linear in names.attention_inputs:
        stacked = (config.query_width, config.key_value_width, config.key_value_width)
        return sum(stacked) if len(names.attention_inputs) == 1 else stacked[names.attention_inputs.index(linear)]
    is_stacked = names.is_gated and names.mlp_inputs == (linear,)
    return config.intermediate_size * (2 if is_stacked else 1)
