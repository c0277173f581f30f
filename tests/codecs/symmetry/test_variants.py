"""Variants of toys: the plain file comes back exactly, and computes what the source computes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from freebits_codecs import decode
from freebits_codecs.errors import NotSymmetric
from freebits_codecs.reference import expand_container
from freebits_codecs.symmetry import bits_back
from freebits_codecs.symmetry.checkpoint import Checkpoint
from freebits_codecs.symmetry.floats import FLOAT_TYPES
from freebits_codecs.symmetry.structure import find_slots
from freebits_codecs.symmetry.testing import Tensors, Toy, read_values, rounded, write_folder

METHODS = [
    ("bits-back", "entropy"),
    ("bits-back", "words"),
    ("gauge-polar", "entropy"),
    ("gauge-triangular", "entropy"),
]
DTYPES = ["F16", "BF16", "F32"]
TOKENS = [1, 2, 0, 2]
FEW = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def plain_values(plain: bytes, folder: Path) -> Tensors:
    folder.mkdir(exist_ok=True)
    (folder / "plain.safetensors").write_bytes(plain)
    return read_values(folder)


def check_exact(variant) -> bytes:
    """Both expanders give the file that the variant names."""
    (file,) = variant.files
    container = file.container.read_bytes()
    plain = decode(container)
    assert (len(plain), hashlib.sha256(plain).hexdigest()) == (file.nbytes, file.sha256)
    assert expand_container(container) == plain
    return plain


def check_function(toy: Toy, source: Tensors, plain: Tensors, dtype: str) -> None:
    """Logits differ by what rounding every weight once more does."""
    assert {name: value.shape for name, value in plain.items()} == {n: v.shape for n, v in source.items()}
    before, after = toy.logits(source, TOKENS), toy.logits(plain, TOKENS)
    assert np.abs(after - before).max() <= 40 * FLOAT_TYPES[dtype].unit * np.abs(before).max()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("style", ["opt", "llama", "phi"])
@pytest.mark.parametrize(("method", "prior"), METHODS, ids=["-".join(method) for method in METHODS])
def test_every_method_of_every_architecture(method, prior, style, dtype, variant_of, tmp_path):
    """Decoding inverts encoding, and the function stays."""
    if (prior, dtype) == ("words", "F32"):
        pytest.skip("words have 16 bits")
    toy = Toy(style, size=9, full=12, inner=14, vocabulary=40)
    stored = rounded(toy.tensors(), dtype)
    plain = check_exact(variant_of(stored, method, prior=prior))
    source = read_values(write_folder(tmp_path / "source", stored))
    changed = plain_values(plain, tmp_path / "plain")
    check_function(toy, source, changed, dtype)
    assert any((changed[name] != source[name]).any() for name in source), "nothing was turned"


@FEW
@given(
    style=st.sampled_from(["opt", "llama", "phi"]),
    dtype=st.sampled_from(DTYPES),
    method=st.sampled_from(METHODS),
    size=st.integers(1, 11),
    cut=st.integers(0, 9),
    layers=st.integers(1, 3),
    sliced_head=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_size(style, dtype, method, size, cut, layers, sliced_head, seed, variant_of, tmp_path):
    """One dimension, odd ones, a last shortcut that is not square, a head that is sliced."""
    assume((method[1], dtype) != ("words", "F32"))
    toy = Toy(style, layers, size, size + cut, heads=1, inner=size + 3, vocabulary=30, sliced_head=sliced_head)
    stored = rounded(toy.tensors(seed), dtype)
    try:
        variant = variant_of(stored, method[0], prior=method[1])
    except NotSymmetric as error:
        if method[0] == "bits-back" and "rotations would give back" in str(error):
            return
        raise
    plain = plain_values(check_exact(variant), tmp_path / "plain")
    check_function(toy, read_values(write_folder(tmp_path / "source", stored)), plain, dtype)


@pytest.mark.parametrize("style", ["opt", "llama", "phi"])
@pytest.mark.parametrize("sliced_head", [False, True])
def test_slots_may_be_rotated(style, sliced_head, tmp_path):
    """In float64, any rotations of the slots that the names give leave the logits as they are."""
    toy = Toy(style, layers=3, size=10, full=14, sliced_head=sliced_head)
    tensors = toy.tensors()
    with Checkpoint(write_folder(tmp_path, rounded(tensors, "F32"))) as checkpoint:
        slots = find_slots(checkpoint)
    assert len(slots) == 1 + toy.layers * (1 if style == "phi" else 2)
    rng = np.random.default_rng(4)
    turned = dict(tensors)
    for slot in slots:
        rotation = np.linalg.qr(rng.normal(size=(slot.size, slot.size))).Q
        for name in [*slot.columns, *([slot.before] if slot.before else [])]:
            turned[name] = turned[name] @ rotation
        for name in [*slot.writes, *([slot.after] if slot.after else [])]:
            turned[name] = rotation.T @ turned[name]
        for name in slot.biases:
            turned[name] = turned[name] @ rotation
    before, after = toy.logits(tensors, TOKENS), toy.logits(turned, TOKENS)
    assert np.abs(after - before).max() <= 1e-10 * np.abs(before).max()
    assert all((turned[name] != tensors[name]).any() for slot in slots for name in slot.members)


@pytest.mark.parametrize("device", [None, "cpu"])
def test_gauged_shortcuts_have_their_shape(device, variant_of, tmp_path):
    """Lower triangular; symmetric, with eigenvalues from 0 to 1; whatever library chose the rotations."""
    toy = Toy("llama", size=12, full=15)
    for method in ("gauge-triangular", "gauge-polar"):
        variant = variant_of(rounded(toy.tensors(), "F16"), method, device=device)
        plain = plain_values(check_exact(variant), tmp_path / method)
        for name, values in plain.items():
            if name.endswith("shortcut_Q"):
                square = values[:, :12]
                assert not values[:, 12:].any()
                assert (square == (np.tril(square) if method == "gauge-triangular" else square.T)).all()
                if method == "gauge-polar":
                    assert (np.abs(np.linalg.eigvalsh(square) - 0.5) < 0.51).all()


def test_equal_singular_values_are_not_turned(variant_of, tmp_path, monkeypatch):
    """Directions that cannot be told apart give no rotation; the others do, and all is exact."""
    toy = Toy("opt", size=16, full=20, inner=32, vocabulary=60)
    tensors = toy.tensors()
    name, other = (f"{toy.prefix}layers.{at}" for at in ("0.fc1.weight", "1.self_attn.q_proj.weight"))
    tensors[name] = np.vstack([np.eye(16), -np.eye(16)])
    stored = rounded(tensors, "F16")
    before = read_values(write_folder(tmp_path / "source", stored))
    turned = plain_values(check_exact(variant_of(stored, "bits-back")), tmp_path / "always")
    check_function(toy, before, turned, "F16")
    monkeypatch.setattr(bits_back, "TURN_OVERHEAD_BITS", 0)
    plain = plain_values(check_exact(variant_of(stored, "bits-back")), tmp_path / "plain")
    assert (plain[name] == tensors[name]).all()
    assert (plain[other] != before[other]).any()
    check_function(toy, before, plain, "F16")


def test_anchors_of_too_few_rows_are_not_turned(variant_of):
    """Fewer rows than columns leave directions open; readers refuse such a turn."""
    stored = rounded(Toy("opt", size=9, full=10, inner=8, vocabulary=60).tensors(), "F16")
    with Checkpoint(
        write_folder(variant_of(stored, "bits-back").files[0].container.parent / "s", stored)
    ) as checkpoint:
        assert min(checkpoint.shape(name)[0] for slot in find_slots(checkpoint) for name in slot.reads) == 8
    check_exact(variant_of(stored, "bits-back"))


@pytest.mark.parametrize("last", [0x0001, 0x0040, 0x007F, 0x0100, 0x8000, 0x0000])
@pytest.mark.parametrize("zeros", [0, 1, 3])
def test_a_stack_of_words_that_begins_with_zeros(last, zeros, variant_of):
    """The first words pushed are the last that are stored; none may be lost."""
    toy = Toy("opt", size=8, full=10, inner=16, vocabulary=60)
    stored = rounded(toy.tensors(), "F16")
    for part in "qkv":  # any of them may be pushed first
        words = stored[f"{toy.prefix}layers.0.self_attn.{part}_proj.weight"][1]
        words.reshape(-1)[-1 - zeros :] = [last] + [0] * zeros
    check_exact(variant_of(stored, "bits-back", prior="words"))


@pytest.mark.parametrize("prior", ["entropy", "words"])
@pytest.mark.parametrize("odd", [np.nan, -np.inf])
@pytest.mark.parametrize(
    "name",
    [
        "embed_tokens.weight",
        "layers.0.self_attn.q_proj.weight",
        "layers.0.attn_shortcut_Q",
        "layers.0.fc1.weight",
        "layers.0.fc2.bias",
        "layers.1.mlp_shortcut_Q",
    ],
)
def test_slots_with_nan_or_infinity_stay_as_they_are(name, odd, prior, variant_of, tmp_path):
    """Bits-back leaves those slots out, and stores what they hold bit for bit."""
    toy = Toy("opt", layers=3, size=8, full=10, inner=16, vocabulary=60)
    stored = rounded(toy.tensors(), "F16")
    words = stored[f"{toy.prefix}{name}"][1]
    words.reshape(-1)[3] = np.array(odd, "<f2").view("<u2")
    plain = check_exact(variant_of(stored, "bits-back", prior=prior))
    with Checkpoint(write_folder(tmp_path, stored)) as before:
        kept = before.raw(f"{toy.prefix}{name}")
    (tmp_path / "model.safetensors").write_bytes(plain)
    with Checkpoint(tmp_path) as after:
        assert after.raw(f"{toy.prefix}{name}") == kept
