"""What the supported architectures have in common, and the few names in which they differ.

Every one is a stack of residual steps, x <- x S + f(norm(x)). S is the identity in a dense model and a matrix, the
*shortcut*, in a sliced one. A sequential block has two steps, attention and then MLP; a parallel block has one step
whose f is the sum of both. Fusing, slicing and running are each one loop over these steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, TypeAlias

HEAD = "lm_head"

Branch: TypeAlias = Literal["attention", "mlp"]


class NormKind(Enum):
    """Which normalisation the dense model has."""

    LAYER = "LayerNorm"  # subtracts the mean; weight and bias
    RMS = "RMSNorm"  # weight only


@dataclass(frozen=True, slots=True)
class ResidualStep:
    """One x <- x S + f(norm(x)); names are relative to the block.

    `reads` are the linears whose columns live in the step's input, `writes` those whose rows (and biases) live in
    its output.
    """

    shortcut: str
    norm: str
    branches: tuple[Branch, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Architecture:
    """Names of one architecture, as Hugging Face checkpoints spell them.

    `attention_inputs` are q, k, v or one linear with all three stacked; `mlp_inputs` are one linear, or gate and up,
    or one with both stacked. `prefix` belongs in front of all but the head; `second_norm` is None in parallel blocks.
    """

    prefix: str
    final_norm: str
    norm: NormKind
    first_norm: str
    second_norm: str | None
    attention_inputs: tuple[str, ...]
    attention_output: str
    mlp_inputs: tuple[str, ...]
    mlp_output: str
    is_gated: bool
    has_learned_positions: bool = False
    steps: tuple[ResidualStep, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", self._steps())

    @property
    def embeddings(self) -> tuple[str, ...]:
        """Full names of the embedding matrices; their rows are what the residual stream begins with."""
        names = ("embed_tokens", "embed_positions") if self.has_learned_positions else ("embed_tokens",)
        return tuple(f"{self.prefix}{name}.weight" for name in names)

    @property
    def is_parallel(self) -> bool:
        """Whether attention and MLP read the same normalised input."""
        return self.second_norm is None

    def block_prefix(self, layer: int) -> str:
        """What stands in front of the names of block `layer`."""
        return f"{self.prefix}layers.{layer}."

    def _steps(self) -> tuple[ResidualStep, ...]:
        attention = ((self.attention_inputs), (self.attention_output,))
        mlp = ((self.mlp_inputs), (self.mlp_output,))
        if self.second_norm is None:
            reads, writes = (a + b for a, b in zip(attention, mlp, strict=True))
            return (ResidualStep("attn_shortcut_Q", self.first_norm, ("attention", "mlp"), reads, writes),)
        return (
            ResidualStep("attn_shortcut_Q", self.first_norm, ("attention",), *attention),
            ResidualStep("mlp_shortcut_Q", self.second_norm, ("mlp",), *mlp),
        )


_QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")

OPT = Architecture(
    prefix="model.decoder.",
    final_norm="model.decoder.final_layer_norm",
    norm=NormKind.LAYER,
    first_norm="self_attn_layer_norm",
    second_norm="final_layer_norm",
    attention_inputs=_QKV,
    attention_output="self_attn.out_proj",
    mlp_inputs=("fc1",),
    mlp_output="fc2",
    is_gated=False,
    has_learned_positions=True,
)

LLAMA = Architecture(
    prefix="model.",
    final_norm="model.norm",
    norm=NormKind.RMS,
    first_norm="input_layernorm",
    second_norm="post_attention_layernorm",
    attention_inputs=_QKV,
    attention_output="self_attn.o_proj",
    mlp_inputs=("mlp.gate_proj", "mlp.up_proj"),
    mlp_output="mlp.down_proj",
    is_gated=True,
)
"""Also Mistral and Qwen2, which differ from Llama in settings only."""

PHI = Architecture(
    prefix="model.",
    final_norm="model.final_layernorm",
    norm=NormKind.LAYER,
    first_norm="input_layernorm",
    second_norm=None,
    attention_inputs=_QKV,
    attention_output="self_attn.dense",
    mlp_inputs=("mlp.fc1",),
    mlp_output="mlp.fc2",
    is_gated=False,
)

PHI3 = Architecture(
    prefix="model.",
    final_norm="model.norm",
    norm=NormKind.RMS,
    first_norm="input_layernorm",
    second_norm="post_attention_layernorm",
    attention_inputs=("self_attn.qkv_proj",),
    attention_output="self_attn.o_proj",
    mlp_inputs=("mlp.gate_up_proj",),
    mlp_output="mlp.down_proj",
    is_gated=True,
)
