"""What is refused, and what the refusal says."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from freebits_codecs.symmetry.slicing import (
    SlicingOptions,
    load_dense,
    load_sliced,
    perplexity,
    slice_folder,
)
from freebits_codecs.symmetry.slicing.config import read_config
from freebits_codecs.symmetry.slicing.errors import InvalidSlicing, NotSliced, UnsupportedModel, UnusableCheckpoint


@pytest.fixture
def copy_of(folders: dict[str, Path], tmp_path: Path) -> Callable[..., Path]:
    """A copy of a model's folder, with other settings in its config."""

    def copy(name: str, **settings: object) -> Path:
        folder = tmp_path / f"copy-{name}"
        shutil.copytree(folders[name], folder)
        config = json.loads((folder / "config.json").read_text()) | settings
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return copy


def change(folder: Path, name: str, to: Callable[[torch.Tensor], torch.Tensor | None]) -> None:
    """Replace a tensor, or remove it."""
    tensors = load_file(folder / "model.safetensors")
    changed = to(tensors.pop(name))
    save_file(tensors | ({} if changed is None else {name: changed}), folder / "model.safetensors")


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("llama", "model_type", "mamba"),
        ("llama", "hidden_act", "tanh"),
        ("llama", "rope_parameters", {"rope_type": "yarn"}),
        ("phi3", "rope_parameters", {"rope_type": "longrope"}),
        ("opt", "do_layer_norm_before", False),
        ("opt", "word_embed_proj_dim", 24),
        ("opt", "layer_norm_elementwise_affine", False),
        ("opt", "_remove_final_layer_norm", True),
        ("phi", "qk_layernorm", True),
        ("qwen2", "use_sliding_window", True),
    ],
)
def test_unsupported_models(name: str, setting: str, value: object, copy_of: Callable[..., Path]) -> None:
    """The message names the setting."""
    folder = copy_of(name, **{setting: value})
    shown = {"hidden_act": "activation", "rope_parameters": "rope_type"}.get(setting, setting)
    with pytest.raises(UnsupportedModel, match=rf"{shown} is .*expected"):
        load_dense(folder)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("hidden_size", "48"),
        ("hidden_size", -1),
        ("hidden_size", True),
        ("num_hidden_layers", None),
        ("num_attention_heads", 5),
        ("num_key_value_heads", 3),
        ("rms_norm_eps", 0),
        ("tie_word_embeddings", "no"),
        ("rope_parameters", {"partial_rotary_factor": 0.3}),
        ("rope_parameters", {"rope_type": "llama3"}),
        ("rope_parameters", 7),
        ("eos_token_id", "x"),
    ],
)
def test_unusable_settings(setting: str, value: object, copy_of: Callable[..., Path]) -> None:
    """Named, with what was found."""
    folder = copy_of("llama", head_dim=None, **{setting: value})
    with pytest.raises(UnusableCheckpoint, match="expected"):
        load_dense(folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


def test_any_config_is_read_or_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    """With errors of this package only."""
    path = tmp_path / "config.json"

    @given(name=st.sampled_from(sorted(folders)), data=st.data())
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    def check(name: str, data: st.DataObject) -> None:
        config = json.loads((folders[name] / "config.json").read_text())
        for setting in data.draw(st.lists(st.sampled_from(sorted(config)), min_size=1, max_size=3)):
            config[setting] = data.draw(JSON)
        path.write_text(json.dumps(config))
        with contextlib.suppress(UnsupportedModel, UnusableCheckpoint):
            read_config(path)

    check()
    for text in ("", "[]", '{"a"', "[" * 100_000):
        path.write_text(text)
        with pytest.raises(UnusableCheckpoint):
            read_config(path)


def test_a_dense_checkpoint_is_not_sliced(folders: dict[str, Path]) -> None:
    """The message says what was looked for."""
    with pytest.raises(NotSliced, match="attn_shortcut_Q"):
        load_sliced(folders["llama"])


def test_a_sliced_checkpoint_is_not_dense(folders: dict[str, Path], slice_into: Any) -> None:
    """Its norms are missing."""
    sliced = slice_into(folders["llama"], 0.25)
    with pytest.raises(UnusableCheckpoint):
        load_dense(sliced)
    with pytest.raises(UnusableCheckpoint):
        slice_into(sliced, 0.25, name="again")


O_PROJ = "model.layers.1.self_attn.o_proj.weight"
SHORTCUT = "model.layers.1.attn_shortcut_Q"


@pytest.mark.parametrize(
    ("name", "to", "message"),
    [
        (O_PROJ, lambda t: None, rf"tensor '{O_PROJ}': found none"),
        (O_PROJ, lambda t: t[:-1].clone(), rf"'{O_PROJ}', shape: found \[31, 48\], expected \[32, 48\]"),
        (O_PROJ, lambda t: t * torch.nan, rf"'{O_PROJ}': found NaN"),
        (O_PROJ, lambda t: t.to(torch.int32), rf"'{O_PROJ}', type: found torch.int32"),
        (SHORTCUT, lambda t: t[:-1].clone(), rf"'{SHORTCUT}', rows: found 31, expected the 32 columns before it"),
        (SHORTCUT, lambda t: t.flatten(), rf"'{SHORTCUT}', shape: found \[1024\]"),
        (SHORTCUT, lambda t: t[:, :0].clone(), rf"'{SHORTCUT}', shape: found \[32, 0\]"),
        (SHORTCUT, lambda t: None, rf"'{SHORTCUT}': found none"),
    ],
)
def test_tensors_of_a_sliced_checkpoint(
    name: str, to: Any, message: str, folders: dict[str, Path], slice_into: Any
) -> None:
    """A tensor that is missing, or has another shape, type or value than it should."""
    sliced = slice_into(folders["llama"], 0.25)
    change(sliced, name, to)
    with pytest.raises(UnusableCheckpoint, match=message):
        load_sliced(sliced)


def test_tensors_of_a_dense_checkpoint(copy_of: Callable[..., Path], slice_into: Any) -> None:
    """One NaN, a tensor too many, more layers in the config than in the file."""
    folder = copy_of("llama")
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {"model.layers.0.self_attn.q_norm.weight": torch.ones(4)}, folder / "model.safetensors")
    with pytest.raises(UnusableCheckpoint, match=r"q_norm.*check that config\.json belongs"):
        load_dense(folder)
    tensors[O_PROJ][3, 4] = torch.nan
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(UnusableCheckpoint, match="NaN"):
        slice_into(folder, 0.25)
    assert not list(folder.parent.glob("*sliced*"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2**30}))
    with pytest.raises(UnusableCheckpoint, match=r"layers\.3.*found none"):
        load_dense(folder)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data[:50], lambda data: b"", lambda data: b"?"]
)
def test_damaged_weights(damage: Callable[[bytes], bytes], copy_of: Callable[..., Path]) -> None:
    """A file that is cut or empty."""
    folder = copy_of("llama")
    weights = folder / "model.safetensors"
    weights.write_bytes(damage(weights.read_bytes()))
    with pytest.raises(UnusableCheckpoint):
        load_dense(folder)


def test_missing_files(copy_of: Callable[..., Path], calibration: Path, tmp_path: Path) -> None:
    """Each is named with what to do."""
    folder = copy_of("opt")
    for file, message in (
        ("model.safetensors", "no weights here"),
        ("tokenizer.json", "no tokenizer.json here; write one with transformers"),
        ("config.json", "no config.json here"),
    ):
        (folder / file).unlink()
        with pytest.raises(FileNotFoundError, match=message):
            slice_folder(folder, tmp_path / "out", calibration, SlicingOptions(0.25), samples=1)
    assert not (tmp_path / "out").exists()


def test_a_damaged_tokenizer(copy_of: Callable[..., Path], slice_into: Any) -> None:
    """Named."""
    folder = copy_of("opt")
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(UnusableCheckpoint, match=r"tokenizer\.json.*expected a tokenizer"):
        slice_into(folder, 0.25)


def test_shards_outside_of_the_folder(copy_of: Callable[..., Path]) -> None:
    """An index may name files beside it only."""
    folder = copy_of("opt")
    (folder / "model.safetensors").rename(folder.parent / "model.safetensors")
    index = folder / "model.safetensors.index.json"
    for name in ("../model.safetensors", str(folder.parent / "model.safetensors"), ".."):
        index.write_text(json.dumps({"weight_map": {"lm_head.weight": name}}))
        with pytest.raises(UnusableCheckpoint, match="names of files beside it"):
            load_dense(folder)


def test_calibration_text(folders: dict[str, Path], tmp_path: Path) -> None:
    """Too short, or no text."""
    text = tmp_path / "text"
    text.write_text("w5 " * 300)
    with pytest.raises(InvalidSlicing, match="found 300 tokens, expected at least 8192, for 128 samples of 64"):
        slice_folder(folders["opt"], tmp_path / "out", text, SlicingOptions(0.25))
    text.write_bytes(b"abc\xff")
    with pytest.raises(InvalidSlicing, match="no UTF-8 at byte 3"):
        slice_folder(folders["opt"], tmp_path / "out", text, SlicingOptions(0.25))
    text.write_text("w5 " * 300)
    with pytest.raises(InvalidSlicing, match="at most the 64 that this model has learned"):
        slice_folder(folders["opt"], tmp_path / "out", text, SlicingOptions(0.25), samples=1, sequence_length=65)


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 2.0, float("nan"), 0.9])
def test_sparsity_out_of_range(sparsity: float, folders: dict[str, Path], slice_into: Any) -> None:
    """0.9 of 48 directions leaves fewer than the 8 that the number kept is a multiple of."""
    with pytest.raises(InvalidSlicing, match="sparsity: found"):
        slice_into(folders["opt"], sparsity)


def test_an_output_that_exists(folders: dict[str, Path], slice_into: Any, tmp_path: Path) -> None:
    """Nothing is overwritten; an empty folder may be filled; no draft is left."""
    (tmp_path / "empty").mkdir()
    assert load_sliced(slice_into(folders["opt"], 0.25, name="empty"))
    with pytest.raises(FileExistsError):
        slice_into(folders["opt"], 0.25, name="empty")
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        slice_into(folders["opt"], 0.25, name="file")
    assert {path.name for path in tmp_path.iterdir()} == {"empty", "file"}


def test_running(folders: dict[str, Path]) -> None:
    """Outside of the vocabulary, none, or too many for learned positions; a device that is not there."""
    model = load_dense(folders["opt"])
    with pytest.raises(InvalidSlicing, match="device: found 'nonsense'"):
        load_dense(folders["opt"], device="nonsense")
    for ids in ([128], [-1], []):
        with pytest.raises(InvalidSlicing, match="token ids"):
            model.logits(ids)
    with pytest.raises(InvalidSlicing, match="positions: found 65"):
        model.generate([5] * 60, 10, end_tokens=())
    with pytest.raises(InvalidSlicing, match="perplexity"):
        perplexity(model, [5], 64)
