"""Models that have not the symmetry: refused before anything is written, by the name of what is in the way."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from freebits_codecs import decode
from freebits_codecs.errors import NotSymmetric
from freebits_codecs.symmetry import make_variant
from freebits_codecs.symmetry.testing import Toy, adapter, join_header, rounded, split_header, write_folder

TOY = Toy("opt", size=8, full=10, inner=16, vocabulary=40)
LAYER = f"{TOY.prefix}layers.0."
METHODS = ("bits-back", "gauge-polar", "gauge-triangular")
EACH_METHOD = pytest.mark.parametrize("method", METHODS)


def sliced(dtype="F16"):
    return rounded(TOY.tensors(), dtype)


@EACH_METHOD
def test_unsliced_model(method, variant_of):
    """Without shortcuts there is one rotation for all."""
    tensors = {name: value for name, value in sliced().items() if "shortcut" not in name}
    with pytest.raises(NotSymmetric, match=r"attn_shortcut_Q.*no sliced model"):
        variant_of(tensors, method)


@EACH_METHOD
@pytest.mark.parametrize("name", ["layers.0.input_layernorm.weight", "layers.9.fc1.weight", "something.weight"])
def test_tensor_of_unknown_place(method, name, variant_of):
    """What is not known may notice a rotation."""
    tensors = {**sliced(), f"{TOY.prefix}{name}": ("F16", np.zeros((8, 8), "<u2"))}
    with pytest.raises(NotSymmetric, match=f"{name} has no known place"):
        variant_of(tensors, method)


@EACH_METHOD
def test_missing_head(method, variant_of):
    """Tied to the embedding, it would be turned twice."""
    tensors = sliced()
    del tensors["lm_head.weight"]
    with pytest.raises(NotSymmetric, match=r"nothing reads slot 4.*lm_head\.weight"):
        variant_of(tensors, method)


QUANTISED = ["I8", "U8", "F8_E4M3", "F64"]


def quantised(name, dtype):
    """The toy with one tensor of a dtype that is not supported."""
    tensors = sliced()
    shape = tensors[name][1].shape
    return {**tensors, name: (dtype, np.ones(shape, "<u8" if dtype == "F64" else "u1"))}


@pytest.mark.parametrize("method", METHODS[1:])
@pytest.mark.parametrize("dtype", QUANTISED)
@pytest.mark.parametrize("name", [f"{LAYER}fc1.weight", f"{LAYER}attn_shortcut_Q", "lm_head.weight"])
def test_quantised_weights(method, dtype, name, variant_of):
    """Rotations do not map a grid to itself; F64 is not supported."""
    with pytest.raises(NotSymmetric, match=f"{name.replace('.', '[.]')} is {dtype}, expected one of"):
        variant_of(quantised(name, dtype), method)


@pytest.mark.parametrize("dtype", QUANTISED)
def test_quantised_shortcuts_cannot_be_hidden(dtype, variant_of):
    with pytest.raises(NotSymmetric, match=f"attn_shortcut_Q is {dtype}, expected one of"):
        variant_of(quantised(f"{LAYER}attn_shortcut_Q", dtype), "bits-back")


@EACH_METHOD
@pytest.mark.parametrize("name", [f"{TOY.prefix}embed_tokens.weight", f"{LAYER}fc1.weight"])
def test_quantised_weights_of_slots_that_are_not_turned(method, name, variant_of):
    """The first slot never is, and bits-back can leave out any."""
    if "fc1" in name and method != "bits-back":
        pytest.skip("the gauges turn that slot")
    (file,) = variant_of(quantised(name, "I8"), method).files
    assert hashlib.sha256(decode(file.container.read_bytes())).hexdigest() == file.sha256


@EACH_METHOD
@pytest.mark.parametrize("missing", ["attn_shortcut_Q", "mlp_shortcut_Q"])
def test_missing_shortcut(method, missing, variant_of):
    """A shard is not there."""
    tensors = sliced()
    del tensors[LAYER + missing]
    with pytest.raises(NotSymmetric, match="3 shortcut matrices in 2 layers"):
        variant_of(tensors, method)


@EACH_METHOD
@pytest.mark.parametrize(
    ("name", "shape"),
    [("fc1.weight", (16, 7)), ("self_attn.out_proj.bias", (7,)), ("fc2.weight", (8,)), ("mlp_shortcut_Q", (7, 8))],
)
def test_shape_that_does_not_fit(method, name, shape, variant_of):
    """Not of the slot's size."""
    with pytest.raises(NotSymmetric, match=f"{name} has shape"):
        variant_of({**sliced(), LAYER + name: ("F16", np.zeros(shape, "<u2"))}, method)


@pytest.mark.parametrize("method", METHODS[1:])
@pytest.mark.parametrize("name", [f"{LAYER}fc1.weight", f"{LAYER}attn_shortcut_Q", "lm_head.weight"])
def test_gauge_of_nan(method, name, variant_of):
    """A gauge turns every slot, so nothing in them may be NaN."""
    tensors = sliced()
    tensors[name][1].reshape(-1)[0] = 0x7E00
    with pytest.raises(NotSymmetric, match=f"{name} holds NaN or infinity"):
        variant_of(tensors, method)


@EACH_METHOD
def test_values_that_leave_float16(method, variant_of):
    """A turned row of large numbers may have one that is larger."""
    tensors = TOY.tensors()
    tensors[f"{LAYER}fc1.weight"][:] *= 60000 / np.abs(tensors[f"{LAYER}fc1.weight"]).max()
    tensors[f"{LAYER}fc1.weight"][:] = np.sign(tensors[f"{LAYER}fc1.weight"]) * 60000
    tensors[f"{LAYER}fc1.weight"] *= np.linspace(0.9, 1, tensors[f"{LAYER}fc1.weight"].size).reshape(16, 8)
    with pytest.raises(NotSymmetric, match=r"fc1\.weight turned has a value of .*more than F16 can hold; convert"):
        variant_of(rounded(tensors, "F16"), method)


@pytest.mark.parametrize("method", ["lora-gauge", "bits-back"])
@pytest.mark.parametrize("name", ["freebits.head", "freebits.stack", "freebits.anything"])
def test_names_that_forms_have_themselves(method, name, variant_of):
    """A tensor may not be mistaken for a part."""
    tensors = {**rounded(adapter(2, 6, 20, 20), "F16"), name: ("F16", np.zeros(2, "<u2"))}
    with pytest.raises(NotSymmetric, match=name):
        variant_of(tensors, method)


@pytest.mark.parametrize("dtype", ["F8_E8M0", "C64", "F4", "F6_E2M3", "X"])
def test_dtypes_that_a_variant_cannot_name(dtype, variant_of, tmp_path):
    """A tensor that is only kept must keep its dtype, too."""
    folder = write_folder(
        tmp_path / "source", {**rounded(adapter(2, 6, 20, 20), "F16"), "odd": ("U8", np.zeros(8, "u1"))}
    )
    path = folder / "model.safetensors"
    header, data = split_header(path.read_bytes())
    header["odd"] |= {"dtype": dtype}
    path.write_bytes(join_header(header) + data)
    (tmp_path / "target").mkdir()
    with pytest.raises(NotSymmetric, match=f"odd is {dtype}, expected one of"):
        make_variant(folder, tmp_path / "target", "lora-gauge")


def test_torch_dtypes_that_a_variant_cannot_name(tmp_path):
    """Nor may a tensor of a torch file be left out."""
    tensors = {"w_a_0": torch.ones(2, 8), "w_b_0": torch.ones(8, 2), "odd": torch.ones(3, dtype=torch.complex64)}
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()
    torch.save(tensors, tmp_path / "source" / "adapter.pt")
    with pytest.raises(NotSymmetric, match=r"odd is torch\.complex64, expected one of"):
        make_variant(tmp_path / "source", tmp_path / "target", "lora-gauge")


def test_words_of_four_bytes(variant_of):
    """The paper's cost model is for floats of 16 bits."""
    with pytest.raises((NotSymmetric, ValueError), match="16"):
        variant_of(sliced("F32"), "bits-back", prior="words")


def test_unknown_method(variant_of):
    with pytest.raises(ValueError, match="method is 'rotate'"):
        variant_of(sliced(), "rotate")
