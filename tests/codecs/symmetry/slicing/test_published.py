"""Files of the published tool: "<name>_<sparsity>.pt", with or without its ".json"."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from freebits_codecs.symmetry.slicing import load, load_sliced
from freebits_codecs.symmetry.slicing.errors import UnusableCheckpoint

IDS = torch.randint(3, 128, (1, 30), generator=torch.Generator().manual_seed(5))


def view_of_more(tensor: torch.Tensor) -> torch.Tensor:
    """The published tool cuts columns off by taking views, and saves those."""
    if tensor.ndim == 1:
        return torch.nn.Parameter(tensor)
    return torch.cat((tensor, torch.full_like(tensor, torch.nan)), dim=1)[:, : tensor.shape[1]]


@pytest.fixture(params=["opt", "llama", "phi", "phi3"])
def published(request: pytest.FixtureRequest, folders: dict[str, Path], slice_into: Any) -> tuple[Path, Path]:
    """A folder that we sliced, and the same weights as the published tool would have saved them."""
    folder: Path = slice_into(folders[request.param], 0.25)
    tensors = {name: view_of_more(tensor) for name, tensor in load_file(folder / "model.safetensors").items()}
    assert not tensors["lm_head.weight"].is_contiguous()
    path = folder.parent / f"{request.param}_0.25.pt"
    torch.save(tensors, path)
    shutil.copyfile(folder / "slicing.json", path.with_suffix(".json"))
    return folder, path


def test_it_loads(published: tuple[Path, Path]) -> None:
    """The same function as our folder; the description is not needed, the dense model's config is."""
    folder, path = published
    config = json.loads((folder / "config.json").read_text())
    if "rms_norm_eps" in config:  # the published tool normalises with 1e-5 whatever the model says
        config["rms_norm_eps"] = 1e-5
        (folder / "config.json").write_text(json.dumps(config))
    expected = load_sliced(folder).logits(IDS)
    torch.testing.assert_close(load_sliced(path, config=folder).logits(IDS), expected)
    path.with_suffix(".json").unlink()
    torch.testing.assert_close(load(path, config=folder / "config.json").logits(IDS), expected)
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        load_sliced(path)
    shutil.copyfile(folder / "config.json", path.parent / "config.json")
    torch.testing.assert_close(load_sliced(path).logits(IDS), expected)


def test_its_epsilon_is_the_tools(published: tuple[Path, Path]) -> None:
    """1e-5, also where the model's config says something else."""
    folder, path = published
    assert load_sliced(path, config=folder).config.eps == 1e-5


def test_a_sliced_head(published: tuple[Path, Path]) -> None:
    """With do_slice_head the last block and the head are as narrow as the others."""
    folder, path = published
    path.with_suffix(".json").unlink()
    tensors = torch.load(path, weights_only=True)
    last = next(name for name in tensors if name.endswith("layers.2.attn_shortcut_Q")).removesuffix("attn_shortcut_Q")
    is_parallel = f"{last}mlp_shortcut_Q" not in tensors
    for name in (f"{last}attn_shortcut_Q" if is_parallel else f"{last}mlp_shortcut_Q", "lm_head.weight"):
        tensors[name] = tensors[name][:, :32]
    writers = ["fc2", "mlp.fc2", "mlp.down_proj", *(["self_attn.dense"] if is_parallel else [])]
    for name in (f"{last}{linear}.{kind}" for linear in writers for kind in ("weight", "bias")):
        if name in tensors:
            tensors[name] = tensors[name][:32]
    torch.save(tensors, path)
    assert load_sliced(path, config=folder).logits(IDS).isfinite().all()


def test_a_description_that_contradicts_the_tensors(published: tuple[Path, Path]) -> None:
    """Named with what it says and what the tensors say."""
    folder, path = published
    description = json.loads((folder / "slicing.json").read_text())
    description["mlp_output_dimensions"]["1"] = 24
    path.with_suffix(".json").write_text(json.dumps(description))
    with pytest.raises(UnusableCheckpoint, match=r"mlp_output_dimensions\[1\]: found 24, expected 32"):
        load_sliced(path, config=folder)


def test_a_pickle_that_would_run_code_is_refused(published: tuple[Path, Path], tmp_path: Path) -> None:
    """Weights only."""
    folder, path = published
    torch.save({"model.embed_tokens.weight": Path("/tmp")}, path)
    with pytest.raises(UnusableCheckpoint):
        load_sliced(path, config=folder)
    for content in (b"", b"PK\3\4 cut", path.read_bytes()[:200]):
        path.write_bytes(content)
        with pytest.raises(UnusableCheckpoint):
            load_sliced(path, config=folder)
    torch.save([torch.zeros(3)], path)
    with pytest.raises(UnusableCheckpoint, match="a dict from names to tensors"):
        load_sliced(path, config=folder)
