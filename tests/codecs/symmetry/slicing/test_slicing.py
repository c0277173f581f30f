"""What a sliced checkpoint holds, and how good it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from freebits_codecs.symmetry.slicing import (
    SlicingOptions,
    encode_text,
    load_dense,
    load_sliced,
    perplexity,
    read_tokenizer,
    slice_folder,
)
from freebits_codecs.symmetry.slicing.safetensors_file import write_safetensors

V, D, F, KV, L = 128, 48, 96, 24, 3
KEPT = 32  # 48 * 0.75 = 36, rounded down to a multiple of 8


def opt_shapes() -> dict[str, tuple[int, ...]]:
    """As the published tool's state dict of an OPT model."""
    decoder = "model.decoder."
    shapes: dict[str, tuple[int, ...]] = {
        f"{decoder}embed_tokens.weight": (V, KEPT),
        f"{decoder}embed_positions.weight": (66, KEPT),
        "lm_head.weight": (V, D),
        "lm_head.bias": (V,),
    }
    for i in range(L):
        out, layer = (D if i == L - 1 else KEPT), f"{decoder}layers.{i}."
        shapes |= {f"{layer}attn_shortcut_Q": (KEPT, KEPT), f"{layer}mlp_shortcut_Q": (KEPT, out)}
        for name in ("q_proj", "k_proj", "v_proj"):
            shapes |= {f"{layer}self_attn.{name}.weight": (D, KEPT), f"{layer}self_attn.{name}.bias": (D,)}
        shapes |= {f"{layer}self_attn.out_proj.weight": (KEPT, D), f"{layer}self_attn.out_proj.bias": (KEPT,)}
        shapes |= {f"{layer}fc1.weight": (F, KEPT), f"{layer}fc1.bias": (F,)}
        shapes |= {f"{layer}fc2.weight": (out, F), f"{layer}fc2.bias": (out,)}
    return shapes


def llama_shapes() -> dict[str, tuple[int, ...]]:
    """As the published tool's state dict of a Llama model with grouped heads."""
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (V, KEPT), "lm_head.weight": (V, D)}
    for i in range(L):
        out, layer = (D if i == L - 1 else KEPT), f"model.layers.{i}."
        shapes |= {
            f"{layer}attn_shortcut_Q": (KEPT, KEPT),
            f"{layer}mlp_shortcut_Q": (KEPT, out),
            f"{layer}self_attn.q_proj.weight": (D, KEPT),
            f"{layer}self_attn.k_proj.weight": (KV, KEPT),
            f"{layer}self_attn.v_proj.weight": (KV, KEPT),
            f"{layer}self_attn.o_proj.weight": (KEPT, D),
            f"{layer}mlp.gate_proj.weight": (88, KEPT),
            f"{layer}mlp.up_proj.weight": (88, KEPT),
            f"{layer}mlp.down_proj.weight": (out, 88),
        }
    return shapes


@pytest.mark.parametrize(("name", "shapes"), [("opt", opt_shapes()), ("llama", llama_shapes())])
def test_names_and_shapes_are_those_of_the_published_tool(
    name: str, shapes: dict[str, tuple[int, ...]], folders: dict[str, Path], slice_into: Any
) -> None:
    """No norms, shortcuts in every block, a last block and a head that are as wide as the dense model."""
    tensors = load_file(slice_into(folders[name], 0.25) / "model.safetensors")
    assert {key: tuple(tensor.shape) for key, tensor in tensors.items()} == shapes


def test_the_description_has_the_keys_of_the_published_tool(folders: dict[str, Path], slice_into: Any) -> None:
    """slicing.json of a sequential and of a parallel model."""
    opt = json.loads((slice_into(folders["opt"], 0.25, name="opt") / "slicing.json").read_text())
    every, last = {str(i): KEPT for i in range(L)}, {"0": KEPT, "1": KEPT, "2": D}
    assert opt == {
        "hidden_size": D,
        "layers_num": L,
        "do_slice_head": False,
        "parallel_blocks": False,
        "embedding_dimensions": {"0": KEPT, "1": KEPT},
        "attention_input_dimensions": every,
        "attention_output_dimensions": every,
        "mlp_input_dimensions": every,
        "mlp_output_dimensions": last,
        "head_dimension": D,
        "const_dimension": None,
    }
    phi = json.loads((slice_into(folders["phi"], 0.25, name="phi") / "slicing.json").read_text())
    assert phi["parallel_blocks"] is True
    assert phi["attention_input_dimensions"] == every
    assert phi["attention_output_dimensions"] == phi["mlp_input_dimensions"] == {}
    assert phi["mlp_output_dimensions"] == last


def test_slicing_is_reproducible(folders: dict[str, Path], slice_into: Any) -> None:
    """The same seed gives the same bytes; another one gives others."""
    first, again, other = (
        (slice_into(folders["llama"], 0.25, name=str(i), seed=seed) / "model.safetensors").read_bytes()
        for i, seed in enumerate((7, 7, 8))
    )
    assert first == again
    assert first != other


def test_a_kept_subspace_that_holds_everything_loses_nothing(
    folders: dict[str, Path], tmp_path: Path, slice_into: Any
) -> None:
    """A model whose residual stream lives in 16 of 48 directions is the same model after slicing to 32."""
    tensors = load_file(folders["llama"] / "model.safetensors")
    basis = torch.linalg.qr(torch.randn(D, 16, generator=torch.Generator().manual_seed(3)))[0]
    flat = basis @ basis.T
    for name in tensors:
        if "embed_tokens" in name:
            tensors[name] = tensors[name] @ flat
        elif "o_proj" in name or "down_proj" in name:
            tensors[name] = flat @ tensors[name]
    low = tmp_path / "low"
    low.mkdir()
    for file in ("config.json", "tokenizer.json"):
        (low / file).write_bytes((folders["llama"] / file).read_bytes())
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, low / "model.safetensors")
    ids = torch.randint(3, V, (1, 40), generator=torch.Generator().manual_seed(5))
    found = load_sliced(slice_into(low, 0.25)).logits(ids)
    torch.testing.assert_close(found, load_dense(low).logits(ids), atol=1e-3, rtol=1e-3)


def test_output_type(folders: dict[str, Path], stories: Path, slice_into: Any, tmp_path: Path) -> None:
    """That of the checkpoint, or the one asked for; companions come along."""
    half = slice_into(folders["phi3"], 0.25, dtype=torch.float16)
    with safe_open(half / "model.safetensors", "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}  # noqa: SIM118
    assert load_sliced(half).logits([5, 6, 7]).dtype == torch.float16
    assert {path.name for path in half.iterdir()} == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "slicing.json",
        "tokenizer.json",
    }


@pytest.fixture(scope="module")
def story_text(stories: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stories that the real model tells: enough to calibrate on and to judge by."""
    model, tokenizer = load_dense(stories, dtype=torch.float32), read_tokenizer(stories)
    told = [
        tokenizer.decode(model.generate([1], 250, temperature=0.8, seed=seed, end_tokens=(1, 2))) for seed in range(14)
    ]
    path = tmp_path_factory.mktemp("stories") / "stories.txt"
    path.write_text("\n".join(told))
    return path


def test_perplexity_of_a_real_model(stories: Path, story_text: Path, tmp_path: Path) -> None:
    """A model that is sliced a little predicts a little worse, and far better than chance."""
    ids = encode_text(read_tokenizer(stories), story_text.read_text())
    before = perplexity(load_dense(stories, dtype=torch.float32), ids, 256)
    after = {}
    for sparsity in (0.0, 0.25):
        folder = tmp_path / str(sparsity)
        slice_folder(stories, folder, story_text, SlicingOptions(sparsity), samples=8, sequence_length=256)
        sliced = load_sliced(folder, dtype=torch.float32)
        assert sliced.dtype == torch.float32
        after[sparsity] = perplexity(sliced, ids, 256)
    assert after[0.0] == pytest.approx(before, rel=0.02)  # bfloat16 rounds the rotated weights
    assert before < after[0.25] < 512 / 4


def test_large_checkpoints_are_sharded(tmp_path: Path) -> None:
    """Shards and an index, as Hugging Face libraries read them."""
    tensors = {f"t{i}": torch.arange(100.0) + i for i in range(5)}
    write_safetensors(tmp_path, tensors, max_shard_nbytes=900)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 2000
    assert sorted(set(index["weight_map"].values())) == [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    for name, file in index["weight_map"].items():
        torch.testing.assert_close(load_file(tmp_path / file)[name], tensors[name])
