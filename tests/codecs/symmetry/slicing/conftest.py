"""Small random models of every supported architecture, as Hugging Face folders that transformers wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Phi3Config,
    PhiConfig,
    PreTrainedConfig,
    Qwen2Config,
)

from freebits_codecs.symmetry.slicing import SlicingOptions, slice_folder

VOCABULARY = 128
STORIES = Path(__file__).parents[3] / "data" / "checkpoints" / "stories260k-bf16"

_SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GATED = {**_SIZES, "intermediate_size": 88}
_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}

ARCHITECTURES: dict[str, Callable[[], PreTrainedConfig]] = {
    "opt": lambda: OPTConfig(**_SIZES, ffn_dim=96, word_embed_proj_dim=48),
    "opt-untied": lambda: OPTConfig(**_SIZES, ffn_dim=96, word_embed_proj_dim=48, tie_word_embeddings=False),
    "opt-unbiased": lambda: OPTConfig(**_SIZES, ffn_dim=96, word_embed_proj_dim=48, enable_bias=False),
    "llama": lambda: LlamaConfig(**_GATED, num_key_value_heads=2, rms_norm_eps=1e-6),
    "llama-tied-biases": lambda: LlamaConfig(
        **_GATED, tie_word_embeddings=True, attention_bias=True, mlp_bias=True, head_dim=16
    ),
    "llama3": lambda: LlamaConfig(**_GATED, num_key_value_heads=1, rope_parameters=_LLAMA3),
    "phi": lambda: PhiConfig(**_SIZES, intermediate_size=96),
    "phi3": lambda: Phi3Config(**_GATED, num_key_value_heads=2, sliding_window=7),
    "mistral": lambda: MistralConfig(**_GATED, num_key_value_heads=2, sliding_window=5),
    "qwen2": lambda: Qwen2Config(**_GATED, num_key_value_heads=2),
}


def randomised(config: PreTrainedConfig, seed: int) -> Any:
    """A float32 model whose norms and biases are not the identity, as they are when fresh."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = 0.5 if "norm" in name or name.endswith("bias") else 0.15
            parameter.copy_(torch.randn_like(parameter) * spread + ("norm" in name and name.endswith("weight")))
    return model


def write_tokenizer(folder: Path) -> None:
    """Words w0 to w125."""
    words = {"[unk]": 0, "</s>": 2, **{f"w{i}": i for i in range(VOCABULARY) if i not in {0, 2}}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[unk]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))


def random_text(count: int, seed: int) -> str:
    """`count` words of the tokenizer that `write_tokenizer` writes."""
    draw = torch.Generator().manual_seed(seed)
    return " ".join(f"w{i}" for i in torch.randint(3, VOCABULARY, (count,), generator=draw).tolist())


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads of models this small wait for each other more than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder with weights, config and tokenizer for every architecture."""
    made = {}
    for name, make_config in ARCHITECTURES.items():
        made[name] = tmp_path_factory.mktemp("models") / name
        randomised(make_config(), seed=len(made)).save_pretrained(made[name])
        write_tokenizer(made[name])
    return made


@pytest.fixture(scope="session", params=list(ARCHITECTURES))
def dense_folder(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Path:
    """Every architecture in turn."""
    return folders[request.param]


@pytest.fixture(scope="session")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text of 2560 random words."""
    path = tmp_path_factory.mktemp("text") / "calibration.txt"
    path.write_text(random_text(2560, seed=1))
    return path


@pytest.fixture(scope="session")
def stories() -> Path:
    """A real model of 260,000 parameters, BF16."""
    return STORIES


SliceInto = Callable[..., Path]


@pytest.fixture
def slice_into(tmp_path: Path, calibration: Path) -> SliceInto:
    """Slice a folder, calibrated on 16 pieces of the random text; the new folder."""

    def run(dense: Path, sparsity: float, name: str = "sliced", **options: Any) -> Path:
        slice_folder(dense, tmp_path / name, calibration, SlicingOptions(sparsity, **options), samples=16)
        return tmp_path / name

    return run
