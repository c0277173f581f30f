"""The safetensors library reads what decoding gives, tensor by tensor, bit by bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load, save

from freebits_codecs import decode, decode_file, encode, encode_file

NUMPY_DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")


def written_by_safetensors() -> bytes:
    """Tensors of every numpy dtype and several ranks, zero-size and scalar ones among them, with metadata."""
    rng = np.random.default_rng(12)
    tensors = {}
    for dtype in NUMPY_DTYPES:
        for shape in ((), (0, 3), (1,), (7, 9), (2, 3, 100), (4097,)):
            count = int(np.prod(shape))
            raw = rng.integers(0, 2, count) if dtype == "?" else rng.normal(0, 50, count)
            tensors[f"{dtype}.{shape}"] = raw.astype(dtype).reshape(shape)
    return save(tensors, {"format": "np"})


def assert_same_tensors(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
        assert found[name].tobytes() == tensor.tobytes()


def test_every_numpy_dtype() -> None:
    """A file that safetensors wrote, in memory."""
    data = written_by_safetensors()
    assert_same_tensors(load(decode(encode(data))), load(data))


def test_real_files_from_disk(real_file: Path, tmp_path: Path) -> None:
    """Real files through paths, opened lazily."""
    if real_file.suffix != ".safetensors":
        pytest.skip("not a safetensors file")
    packed, back = tmp_path / "model.fb", tmp_path / "model.safetensors"
    encode_file(real_file, packed)
    decode_file(packed, back)
    with safe_open(real_file, "np") as expected, safe_open(back, "np") as found:
        assert set(found.keys()) == set(expected.keys())
        assert found.metadata() == expected.metadata()
        for name in expected.keys():  # noqa: SIM118  it is no dict
            assert found.get_slice(name).get_dtype() == expected.get_slice(name).get_dtype()
            assert found.get_slice(name).get_shape() == expected.get_slice(name).get_shape()
            if found.get_slice(name).get_dtype() != "BF16":
                assert found.get_tensor(name).tobytes() == expected.get_tensor(name).tobytes()
    assert back.read_bytes() == real_file.read_bytes()
