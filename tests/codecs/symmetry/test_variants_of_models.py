"""Variants of models that can be run: what a client downloads computes what the source does."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from freebits_codecs import ContainerReader, FileSource
from freebits_codecs.errors import NotSymmetric, UnexpectedForm
from freebits_codecs.symmetry import METHODS, Variant, expand, make_variant
from freebits_codecs.symmetry.slicing import Model, SlicingOptions, load, read_tokenizer, slice_folder

STORIES = Path(__file__).parents[2] / "data" / "checkpoints" / "stories260k-bf16"
PUBLISHED = Path(__file__).parent / "slicing" / "published"
SLICED_METHODS = METHODS[:3]
TOLERANCE = {torch.float16: 3e-3, torch.bfloat16: 3e-2, torch.float32: 1e-5}
DTYPES = sorted(TOLERANCE, key=str)
TOKENS = list(range(1, 30))

Slice = Callable[[torch.dtype], Path]


@pytest.fixture(scope="module")
def slice_stories(tmp_path_factory: pytest.TempPathFactory) -> Slice:
    """A quarter less of stories260k in the dtype asked for, calibrated on what it tells."""
    folder = tmp_path_factory.mktemp("sliced")
    model, tokenizer = load(STORIES, dtype=torch.float32), read_tokenizer(STORIES)
    told = [token for seed in range(8) for token in model.generate([1], 200, temperature=1.0, seed=seed)]
    (folder / "text").write_text(tokenizer.decode(told))

    def sliced(dtype: torch.dtype) -> Path:
        target = folder / str(dtype)
        if not target.exists():
            options = SlicingOptions(sparsity=0.25, dtype=dtype)
            slice_folder(STORIES, target, folder / "text", options, samples=8, sequence_length=100)
        return target

    return sliced


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("method", SLICED_METHODS)
def test_a_sliced_model_computes_the_same(
    slice_stories: Slice, tmp_path: Path, method: str, dtype: torch.dtype
) -> None:
    source = slice_stories(dtype)
    variant, folder = _downloaded(source, tmp_path, method)
    expected, found = _logits(load(source)), _logits(load(folder))
    scale = expected.square().mean().sqrt()
    assert (found - expected).abs().max() < TOLERANCE[dtype] * scale
    assert 0 < variant.report["logits"]["max_relative_error"] < TOLERANCE[dtype]
    assert variant.report["bytes"]["saved"] > 0


@pytest.mark.parametrize("name", ["opt", "phi"])
def test_the_published_tools_files_become_safetensors(tmp_path: Path, name: str) -> None:
    """By the method that saves something of models this small, whatever processor turns them."""
    source = tmp_path / name
    shutil.copytree(PUBLISHED / name, source, ignore=shutil.ignore_patterns("*.safetensors"))
    variant, folder = _downloaded(source, tmp_path, "gauge-polar")
    assert variant.files[0].path == "model.safetensors"
    assert variant.removed == (next(source.glob("*.pt")).name,)
    expected = _logits(load(next(source.glob("*.pt"))))
    assert (_logits(load(folder)) - expected).abs().max() < 1e-5 * expected.square().mean().sqrt()


@pytest.mark.parametrize("method", SLICED_METHODS)
def test_a_torch_file_becomes_safetensors(slice_stories: Slice, tmp_path: Path, method: str) -> None:
    """By every method, of a model large enough for each."""
    source = tmp_path / "source"
    shutil.copytree(slice_stories(torch.float16), source)
    torch.save(load_file(source / "model.safetensors"), source / "model.pt")
    expected = _logits(load(source))
    (source / "model.safetensors").unlink()
    variant, folder = _downloaded(source, tmp_path, method)
    assert variant.removed == ("model.pt",)
    assert variant.report["bytes"]["saved"] > 0
    assert (_logits(load(folder)) - expected).abs().max() < TOLERANCE[torch.float16] * expected.square().mean().sqrt()


def test_what_a_torch_file_holds_beyond_its_tensors_is_no_saving(tmp_path: Path) -> None:
    """Its shortcuts are views of larger matrices. A triangle of this model's one shortcut is not worth a form."""
    shutil.copytree(PUBLISHED / "phi", tmp_path / "phi", ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(NotSymmetric, match="plain lossless coding"):
        _variant(tmp_path / "phi", tmp_path / "made", "gauge-triangular")


def test_a_variant_is_the_same_every_time(slice_stories: Slice, tmp_path: Path) -> None:
    source = slice_stories(torch.float16)
    first, second = (_variant(source, tmp_path / name, "bits-back") for name in ("first", "second"))
    assert first.files[0].sha256 == second.files[0].sha256
    assert first.files[0].container.read_bytes() == second.files[0].container.read_bytes()


def test_the_inner_form_is_never_taken_for_the_file(slice_stories: Slice, tmp_path: Path) -> None:
    variant = _variant(slice_stories(torch.float16), tmp_path, "gauge-polar")
    with pytest.raises(UnexpectedForm, match="symmetric form"), ContainerReader.open(variant.files[0].container):
        pass


@pytest.mark.parametrize("method", METHODS)
def test_a_dense_model_is_refused(tmp_path: Path, method: str) -> None:
    with pytest.raises(NotSymmetric, match=r"attn_shortcut_Q|LoRA"):
        make_variant(STORIES, tmp_path, method)
    assert not list(tmp_path.iterdir()), "nothing may stay behind"


def _variant(source: Path, target: Path, method: str) -> Variant:
    target.mkdir(exist_ok=True)
    return make_variant(source, target, method)


def _downloaded(source: Path, scratch: Path, method: str) -> tuple[Variant, Path]:
    """The variant, and a folder as a client has it."""
    variant = _variant(source, scratch / "made", method)
    folder = scratch / "downloaded"
    folder.mkdir()
    for file in variant.files:
        assert expand(FileSource(file.container), folder / file.path).sha256 == file.sha256
    for path in source.iterdir():
        if path.name not in variant.removed and not (folder / path.name).exists():
            shutil.copy(path, folder)
    return variant, folder


def _logits(model: Model) -> torch.Tensor:
    return model.logits(TOKENS).float()
