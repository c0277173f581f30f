"""The same weights, however a folder keeps them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from freebits_codecs.symmetry.slicing import load_dense
from freebits_codecs.symmetry.slicing.config import read_config

IDS = torch.randint(3, 128, (1, 30), generator=torch.Generator().manual_seed(5))


@pytest.fixture
def bare(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A folder with the config of the OPT model and no weights yet."""
    shutil.copyfile(folders["opt"] / "config.json", tmp_path / "config.json")
    return tmp_path


def test_pickled(folders: dict[str, Path], bare: Path) -> None:
    """pytorch_model.bin, named from inside of the model, with a buffer and the tied head beside the weights."""
    tensors = load_file(folders["opt"] / "model.safetensors")
    tensors = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    tensors["lm_head.weight"] = tensors["decoder.embed_tokens.weight"]
    tensors["decoder.layers.0.self_attn.rotary_emb.inv_freq"] = torch.arange(4)
    torch.save(tensors, bare / "pytorch_model.bin")
    torch.testing.assert_close(load_dense(bare).logits(IDS), load_dense(folders["opt"]).logits(IDS))


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_sharded(suffix: str, folders: dict[str, Path], bare: Path) -> None:
    """Every other tensor in another file."""
    tensors = load_file(folders["opt"] / "model.safetensors")
    index = {name: f"part{i % 2}.{suffix}" for i, name in enumerate(sorted(tensors))}
    for file in set(index.values()):
        shard = {name: tensor for name, tensor in tensors.items() if index[name] == file}
        (save_file if suffix == "safetensors" else torch.save)(shard, bare / file)
    stem = "model.safetensors" if suffix == "safetensors" else "pytorch_model.bin"
    (bare / f"{stem}.index.json").write_text(json.dumps({"weight_map": index}))
    torch.testing.assert_close(load_dense(bare).logits(IDS), load_dense(folders["opt"]).logits(IDS))
    (bare / f"part1.{suffix}").unlink()
    with pytest.raises(FileNotFoundError):
        load_dense(bare)


def test_older_spellings_of_rope(folders: dict[str, Path], tmp_path: Path) -> None:
    """rope_theta and rope_scaling beside each other mean what rope_parameters mean together."""
    expected = load_dense(folders["llama3"]).logits(IDS)
    shutil.copytree(folders["llama3"], tmp_path / "older")
    config = json.loads((tmp_path / "older" / "config.json").read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = {**rope, "type": rope.pop("rope_type")}
    (tmp_path / "older" / "config.json").write_text(json.dumps(config))
    torch.testing.assert_close(load_dense(tmp_path / "older").logits(IDS), expected)


@pytest.mark.parametrize(("settings", "window"), [({}, 4096), ({"sliding_window": None}, None)])
def test_the_window_of_a_mistral(
    settings: dict[str, None], window: int | None, folders: dict[str, Path], tmp_path: Path
) -> None:
    """Left out it is the default of transformers; null is none."""
    config = json.loads((folders["mistral"] / "config.json").read_text())
    del config["sliding_window"]
    (tmp_path / "config.json").write_text(json.dumps(config | settings))
    assert read_config(tmp_path / "config.json").sliding_window == window
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "config.json").write_text(json.dumps(config | settings))
    assert AutoConfig.from_pretrained(tmp_path / "theirs").sliding_window == window
