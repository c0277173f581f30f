"""LoRA adapters: exact files, products that stay, and pairs that are better left alone."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freebits_codecs import decode
from freebits_codecs.errors import NotSymmetric
from freebits_codecs.reference import expand_container
from freebits_codecs.symmetry.floats import FLOAT_TYPES
from freebits_codecs.symmetry.lora_gauge import own_rounding, pivot_columns
from freebits_codecs.symmetry.testing import NAMES, adapter, read_values, rounded, write_folder

LORA = ["lora-gauge", "bits-back"]


def products(values, style="peft"):
    """B A of every pair."""
    a_name, b_name = NAMES[style]
    pairs = len(values) // 2
    return [values[b_name.format(pair)] @ values[a_name.format(pair)] for pair in range(pairs)]


def expanded(variant, folder):
    """The tensors of the plain file, which both expanders must give."""
    (file,) = variant.files
    container = file.container.read_bytes()
    plain = decode(container)
    assert hashlib.sha256(plain).hexdigest() == file.sha256
    assert expand_container(container) == plain
    folder.mkdir()
    (folder / "plain.safetensors").write_bytes(plain)
    return read_values(folder)


@pytest.mark.parametrize("style", NAMES)
@pytest.mark.parametrize("dtype", FLOAT_TYPES)
@pytest.mark.parametrize("method", LORA)
def test_products_stay(method, dtype, style, variant_of, tmp_path):
    """Whatever the tools call A and B."""
    stored = rounded(adapter(3, 6, 20, 17, style), dtype)
    source = read_values(write_folder(tmp_path / "source", stored))
    plain = expanded(variant_of(stored, method), tmp_path / "plain")
    assert plain.keys() == source.keys()
    unit = FLOAT_TYPES[dtype].unit
    for before, after in zip(products(source, style), products(plain, style), strict=True):
        assert np.linalg.norm(after - before) <= 4 * unit * np.linalg.norm(before)
    assert any((plain[name] != source[name]).any() for name in source)


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rank=st.integers(1, 12),
    into=st.integers(1, 30),
    out=st.integers(1, 30),
    pairs=st.integers(1, 4),
    dtype=st.sampled_from(sorted(FLOAT_TYPES)),
    method=st.sampled_from(LORA),
    seed=st.integers(0, 999),
)
def test_any_shape(rank, into, out, pairs, dtype, method, seed, variant_of, tmp_path_factory):
    """Ranks of 1 and of all rows, one column, one row; or NotSymmetric."""
    stored = rounded(adapter(pairs, rank, into, out, seed=seed), dtype)
    folder = tmp_path_factory.mktemp("adapter")
    try:
        variant = variant_of(stored, method)
    except NotSymmetric:
        return
    source, plain = read_values(write_folder(folder / "source", stored)), expanded(variant, folder / "plain")
    for before, after in zip(products(source), products(plain), strict=True):
        assert np.linalg.norm(after - before) <= 6 * np.sqrt(rank) * FLOAT_TYPES[dtype].unit * np.linalg.norm(before)


@pytest.mark.parametrize("rank", [64, 256])
@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_ranks_that_people_use(rank, dtype, variant_of, tmp_path):
    """No entry beside the pivots is much above 1, and rounding does about what it did before."""
    stored = rounded(adapter(1, rank, 320, 300), dtype)
    variant = variant_of(stored, "lora-gauge", max_error=2.0)
    source = read_values(write_folder(tmp_path / "source", stored))
    plain = expanded(variant, tmp_path / "plain")
    ((before,), (after,)) = products(source), products(plain)
    a, b = source.values()
    assert np.linalg.norm(after - before) <= 2 * own_rounding(a, b, FLOAT_TYPES[dtype])
    assert min(np.abs(values).max() for values in plain.values()) <= 1.02


def test_an_adapter_of_a_large_vocabulary(variant_of, tmp_path):
    """A head's B has as many rows as there are tokens; only its pivots are few."""
    stored = rounded(adapter(1, 2, 8, 70_000), "F16")
    plain = expanded(variant_of(stored, "lora-gauge"), tmp_path / "plain")
    assert max(values.shape[0] for values in plain.values()) == 70_000


def test_pairs_whose_gauge_would_hurt_stay(variant_of, tmp_path):
    """Refused one by one; those that stay are as they were, bit for bit."""
    tensors = adapter(2, 6, 20, 17)
    a, b = list(tensors)[:2]
    tensors[a][3] = tensors[a][2]  # rank 5, in A ...
    tensors[b][:, 3] = tensors[b][:, 2]  # ... and in B
    stored = rounded(tensors, "F16")
    source = read_values(write_folder(tmp_path / "source", stored))
    plain = expanded(variant_of(stored, "lora-gauge"), tmp_path / "plain")
    assert all((plain[name] == source[name]).all() for name in (a, b))
    assert any((plain[name] != source[name]).any() for name in list(source)[2:])


def test_adapters_that_are_all_refused(variant_of):
    """B of zeros, as before training: its gauge is A's, which is fine; NaN, infinity and mixed dtypes are not."""
    for odd in (np.nan, np.inf):
        tensors = adapter(1, 6, 20, 17)
        next(iter(tensors.values()))[0, 0] = odd
        with pytest.raises(NotSymmetric, match=r"lora_A.*NaN or infinity"):
            variant_of(rounded(tensors, "F16"), "lora-gauge")
    (a, a_words), (b, b_words) = rounded(adapter(1, 6, 20, 17), "F16").items()
    mixed = {a: a_words, b: rounded({b: np.ones(b_words[1].shape)}, "BF16")[b]}
    with pytest.raises(NotSymmetric, match="different dtypes"):
        variant_of(mixed, "lora-gauge")


def test_a_loss_that_is_not_accepted(variant_of):
    """`max_error` 0 takes only what loses nothing."""
    with pytest.raises(NotSymmetric, match="rounding error would be"):
        variant_of(rounded(adapter(1, 6, 20, 17), "F16"), "lora-gauge", max_error=0.0)


def test_adapters_before_training(variant_of, tmp_path):
    """B is zero: the product is, too, and stays so. Zeros have no bits that could choose a rotation."""
    tensors = adapter(3, 6, 20, 17)
    for name in tensors:
        if "lora_B" in name:
            tensors[name][:] = 0
    stored = rounded(tensors, "F16")
    plain = expanded(variant_of(stored, "lora-gauge"), tmp_path / "plain")
    assert not any(product.any() for product in products(plain))
    with pytest.raises(NotSymmetric, match="none of 3 rotations"):
        variant_of(stored, "bits-back")


def test_what_is_no_pair_is_kept(variant_of, tmp_path):
    """Convolutions of four dimensions, scales, tensors of other dtypes."""
    stored = rounded(adapter(2, 6, 20, 17), "F16")
    others = {
        "conv.lora_A.weight": ("F16", np.ones((2, 3, 1, 1), "<u2")),
        "conv.lora_B.weight": ("F16", np.ones((4, 2, 1, 1), "<u2")),
        "alpha": ("F32", np.array(1065353216, "<u4")),
        "steps": ("I64", np.array([1, 2], "<i8").view("<u8")),
    }
    plain_file = decode(variant_of({**stored, **others}, "lora-gauge").files[0].container.read_bytes())
    source = (write_folder(tmp_path / "source", {**stored, **others}) / "model.safetensors").read_bytes()
    tail = sum(words.nbytes for _, words in others.values())
    assert plain_file[-tail:] == source[-tail:]


@pytest.mark.parametrize("names", [("lora_A.weight", "lora_B.weight"), ("w_a_000", "w_x_000"), ("a", "b")])
def test_adapters_without_pairs(names, variant_of):
    """Names that no tool gives."""
    tensors = rounded(dict(zip(names, adapter(1, 6, 20, 17).values(), strict=True)), "F16")
    with pytest.raises(NotSymmetric, match="no two tensors are called like a LoRA pair"):
        variant_of(tensors, "lora-gauge")


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(rank=st.integers(1, 9), extra=st.integers(0, 20), seed=st.integers(0, 999))
def test_pivots_leave_small_numbers(rank, extra, seed):
    """In the basis of the pivots, no entry of a matrix is much above 1."""
    matrix = np.random.default_rng(seed).normal(size=(rank, rank + extra))
    pivots = pivot_columns(matrix)
    assert (np.diff(pivots) > 0).all()
    assert np.abs(np.linalg.solve(matrix[:, pivots], matrix)).max() < 1.02


def test_pivots_of_matrices_without_full_rank():
    """Fewer columns than rows, zeros, equal rows."""
    for matrix in (np.ones((3, 2)), np.zeros((2, 5)), np.ones((2, 5)), np.diag([1.0, 1e-9])):
        assert pivot_columns(matrix) is None
