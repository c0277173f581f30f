"""config.json as the facts that running and slicing need; anything not implemented is refused here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from freebits_codecs.symmetry.slicing.architectures import LLAMA, OPT, PHI, PHI3, Architecture, NormKind
from freebits_codecs.symmetry.slicing.config_fields import ConfigFields, read_fields
from freebits_codecs.symmetry.slicing.errors import UnsupportedModel, UnusableCheckpoint
from freebits_codecs.symmetry.slicing.rope import RopeConfig, read_rope

ACTIVATIONS = ("relu", "silu", "gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh")

MISTRAL_WINDOW = 4096
"""Of a Mistral whose config says nothing about a sliding window."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A decoder of one of the supported architectures.

    `hidden_size` is the D of the dense model, which the normalisation of a sliced one still divides by.
    `biased` names the linears that have a bias in the dense model. `max_positions` bounds what learned positions
    allow; `rope` is None with them.
    """

    architecture: Architecture
    hidden_size: int
    intermediate_size: int
    layer_count: int
    head_count: int
    key_value_head_count: int
    head_dim: int
    vocabulary_size: int
    max_positions: int
    eps: float
    activation: str
    has_tied_head: bool
    biased: frozenset[str]
    rope: RopeConfig | None
    sliding_window: int | None
    end_tokens: tuple[int, ...]

    @property
    def query_width(self) -> int:
        """Rows of q_proj."""
        return self.head_count * self.head_dim

    @property
    def key_value_width(self) -> int:
        """Rows of k_proj, and of v_proj."""
        return self.key_value_head_count * self.head_dim


def read_config(path: Path) -> ModelConfig:
    """The model that the config.json at `path` describes. Raises OSError, UnsupportedModel, UnusableCheckpoint."""
    fields = read_fields(path)
    model_type = fields.text("model_type")
    if model_type not in _READERS:
        raise UnsupportedModel("model_type", found=model_type, expected=f"one of {', '.join(_READERS)}")
    return _READERS[model_type](fields)


def _opt(fields: ConfigFields) -> ModelConfig:
    fields.require("do_layer_norm_before", True, default=True)
    fields.require("layer_norm_elementwise_affine", True, default=True)
    fields.require("_remove_final_layer_norm", False, default=False)
    hidden_size = fields.size("hidden_size")
    projected = fields.size("word_embed_proj_dim", hidden_size)
    if projected != hidden_size:
        raise UnsupportedModel("word_embed_proj_dim", found=projected, expected=f"the hidden size, {hidden_size}")
    return _model_config(
        fields,
        OPT,
        intermediate=fields.size("ffn_dim"),
        eps=1e-5,
        activation=fields.text("activation_function", "relu"),
        tied=True,
        biased=_linears(OPT) if fields.flag("enable_bias", True) else (),
    )


def _llama(fields: ConfigFields) -> ModelConfig:
    with_bias: tuple[str, ...] = ()
    if fields.flag("attention_bias", False):
        with_bias += (*LLAMA.attention_inputs, LLAMA.attention_output)
    if fields.flag("mlp_bias", False):
        with_bias += (*LLAMA.mlp_inputs, LLAMA.mlp_output)
    return _rms_config(fields, LLAMA, biased=with_bias)


def _mistral(fields: ConfigFields) -> ModelConfig:
    has_default = "sliding_window" not in fields.names()  # null means none, leaving it out does not
    return _rms_config(fields, LLAMA, window=MISTRAL_WINDOW if has_default else _window(fields))


def _qwen2(fields: ConfigFields) -> ModelConfig:
    fields.require("use_sliding_window", False, default=False)
    return _rms_config(fields, LLAMA, biased=LLAMA.attention_inputs)


def _phi3(fields: ConfigFields) -> ModelConfig:
    return _rms_config(fields, PHI3, window=_window(fields))


def _phi(fields: ConfigFields) -> ModelConfig:
    fields.require("qk_layernorm", False, default=False)
    return _model_config(
        fields,
        PHI,
        intermediate=fields.size("intermediate_size"),
        eps=fields.number("layer_norm_eps", 1e-5),
        activation=fields.text("hidden_act", "gelu_new"),
        tied=False,
        biased=(*_linears(PHI), "lm_head"),
        rotary_fraction=0.5,
    )


_READERS: dict[str, Callable[[ConfigFields], ModelConfig]] = {
    "llama": _llama,
    "mistral": _mistral,
    "opt": _opt,
    "phi": _phi,
    "phi3": _phi3,
    "qwen2": _qwen2,
}


def _rms_config(
    fields: ConfigFields, architecture: Architecture, *, biased: tuple[str, ...] = (), window: int | None = None
) -> ModelConfig:
    return _model_config(
        fields,
        architecture,
        intermediate=fields.size("intermediate_size"),
        eps=fields.number("rms_norm_eps", 1e-5 if architecture is PHI3 else 1e-6),
        activation=fields.text("hidden_act", "silu"),
        tied=False,
        biased=biased,
        window=window,
    )


def _model_config(
    fields: ConfigFields,
    architecture: Architecture,
    *,
    intermediate: int,
    eps: float,
    activation: str,
    tied: bool,
    biased: tuple[str, ...],
    rotary_fraction: float = 1.0,
    window: int | None = None,
) -> ModelConfig:
    hidden_size, head_count = fields.size("hidden_size"), fields.size("num_attention_heads")
    if activation not in ACTIVATIONS:
        raise UnsupportedModel("the activation", found=activation, expected=f"one of {', '.join(ACTIVATIONS)}")
    if not fields.has("head_dim") and hidden_size % head_count:
        raise _indivisible("hidden_size", hidden_size, "num_attention_heads", head_count)
    head_dim = fields.size("head_dim", hidden_size // head_count or None)
    key_value_heads = fields.size("num_key_value_heads", head_count)
    if head_count % key_value_heads:
        raise _indivisible("num_attention_heads", head_count, "num_key_value_heads", key_value_heads)
    has_rope = not architecture.has_learned_positions
    return ModelConfig(
        architecture=architecture,
        hidden_size=hidden_size,
        intermediate_size=intermediate,
        layer_count=fields.size("num_hidden_layers"),
        head_count=head_count,
        key_value_head_count=key_value_heads,
        head_dim=head_dim,
        vocabulary_size=fields.size("vocab_size"),
        max_positions=fields.size("max_position_embeddings", 2048),
        eps=eps,
        activation=activation,
        has_tied_head=fields.flag("tie_word_embeddings", tied),
        biased=frozenset(biased),
        rope=read_rope(fields, head_dim, rotary_fraction) if has_rope else None,
        sliding_window=window,
        end_tokens=fields.integers("eos_token_id"),
    )


def _window(fields: ConfigFields) -> int | None:
    return fields.size("sliding_window") if fields.has("sliding_window") else None


def _linears(architecture: Architecture) -> tuple[str, ...]:
    return tuple(name for step in architecture.steps for name in step.reads + step.writes)


def _indivisible(name: str, found: int, divisor_name: str, divisor: int) -> UnusableCheckpoint:
    return UnusableCheckpoint(
        f"config.json: {name}", found=found, expected=f"a multiple of {divisor_name}, which is {divisor}"
    )


def biased_when_sliced(config: ModelConfig, linear: str) -> bool:
    """Whether `linear` (relative to its block, or the head) has a bias after fusing.

    The bias of a LayerNorm goes into the linears that read it, which get a bias if they had none.
    """
    reads = {name for step in config.architecture.steps for name in step.reads} | {"lm_head"}
    return linear in config.biased or (config.architecture.norm is NormKind.LAYER and linear in reads)
