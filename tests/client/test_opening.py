"""Tensors by name, local and remote, plain and encoded, without the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import freebits
from freebits import arrays, errors
from freebits.arrays import to_array
from freebits.opening import UnknownLayout

RNG = np.random.default_rng(5)
BIG = RNG.integers(0, 1 << 16, 6_000_000, dtype=np.uint16)
SMALL = RNG.normal(size=(3, 5)).astype("<f4")


def safetensors(**tensors: tuple[str, np.ndarray[Any, Any]]) -> bytes:
    """The bytes of a safetensors file, written from its specification."""
    header, at = {}, 0
    for name, (dtype, array) in tensors.items():
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(a.tobytes() for _, a in tensors.values())


FILE = safetensors(big=("BF16", BIG), small=("F32", SMALL), none=("I64", np.zeros((0, 4), "<i8")))


@pytest.fixture(params=["plain", "encoded"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The file as it is, and its container."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(FILE if request.param == "plain" else freebits.encode(FILE))
    return path


def test_local_tensors_as_numpy(path: Path) -> None:
    """Names, shapes, bits; a mapping."""
    with freebits.open(path, framework="numpy") as tensors:
        assert list(tensors) == ["big", "small", "none"]
        assert tensors.format == "safetensors"
        assert tensors.nbytes == len(FILE)
        assert (tensors["small"] == SMALL).all()
        assert tensors["none"].shape == (0, 4)
        assert (tensors["big"].view(np.uint16) == BIG).all()
        assert tensors.info("big").dtype == "BF16"
        tensors["small"][0, 0] = 1.0  # writable, and its own copy
        assert (tensors["small"] == SMALL).all()
        with pytest.raises(KeyError):
            tensors["absent"]


def test_local_tensors_as_torch(path: Path) -> None:
    """Torch when it is installed, without being asked."""
    torch = pytest.importorskip("torch")
    with freebits.open(path) as tensors:
        assert tensors["big"].dtype == torch.bfloat16
        assert (tensors["big"].view(torch.uint16).numpy() == BIG).all()
        assert tensors["none"].shape == (0, 4)


@pytest.mark.parametrize("encoded", [False, True])
def test_remote_tensors_without_the_rest(environment: Any, encoded: bool) -> None:
    """A small tensor of a 12 MB file costs less than 2 MB of traffic."""
    environment.add("alice/model", "model.safetensors", FILE, freebits.encode(FILE) if encoded else None)
    with (
        freebits.Hub() as hub,
        hub.open("alice/model", "model.safetensors", framework="numpy") as tensors,
    ):
        assert (tensors["small"] == SMALL).all()
        assert environment.blob_nbytes_sent() < 2_000_000
        assert (tensors["big"].view(np.uint16) == BIG).all()


def test_a_push_while_a_remote_file_is_open_changes_nothing(environment: Any) -> None:
    """The first answer names the commit, and all others ask for it."""
    environment.add("alice/model", "model.safetensors", FILE)
    with freebits.Hub() as hub, hub.open("alice/model", "model.safetensors", framework="numpy") as tensors:
        environment.add("alice/model", "model.safetensors", safetensors(other=("F32", SMALL)))
        assert (tensors["big"].view(np.uint16) == BIG).all()


def test_a_file_without_tensors(tmp_path: Path) -> None:
    """The message lists what can be opened."""
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(UnknownLayout, match="safetensors"):
        freebits.open(tmp_path / "notes.txt")


def test_numpy_without_ml_dtypes_refuses_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    """BF16 then comes as a record of bits: nobody computes with bit patterns by accident."""
    monkeypatch.setattr(arrays.importlib.util, "find_spec", lambda _name: None)
    array = to_array(bytearray(BIG[:8].tobytes()), "BF16", (2, 4), "numpy")
    assert (array["BF16"] == BIG[:8].reshape(2, 4)).all()
    with pytest.raises(TypeError):
        array + array
    with pytest.raises(errors.UsageError, match="torch"):
        arrays.choose_framework("torch")
    assert arrays.choose_framework(None) == "numpy"
