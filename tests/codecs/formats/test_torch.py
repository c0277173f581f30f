"""Torch checkpoints: torch writes and reads, we find; real files are read without torch."""

from __future__ import annotations

import io
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from freebits_codecs.formats import read_layout, torch_zip


def _saved(value: object, **options: object) -> bytes:
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


def _raw(tensor: object) -> bytes:
    torch = pytest.importorskip("torch")
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def test_real_int8_file(read, real_files):
    """A real quantised model: names, shapes and both types, without torch."""
    layout = read((real_files / "tinystoriesgru-int8.pt").read_bytes())
    assert layout.format == "torch"
    assert len(layout.tensors) == len(layout.extents) == 38
    assert {extent.dtype for extent in layout.extents} == {"I8", "F32"}


def test_real_file_from_before_zip(read, real_files):
    """A real checkpoint in torch's old format: names, shapes, and storages that look like what they are."""
    content = (real_files / "rfb-epoch-499.pth").read_bytes()
    layout = read(content)
    assert layout.format == "torch-legacy"
    first = layout.tensors[0]
    assert (first.name, first.dtype, first.shape) == ("base_net.0.0.weight", "F32", (16, 3, 3, 3))
    assert np.abs(np.frombuffer(content[first.start : first.stop], "<f4")).max() < 10
    assert sum(e.stop - e.start for e in layout.extents) / len(content) > 0.95


@pytest.mark.parametrize("name", ["tinystoriesgru-int8.pt", "rfb-epoch-499.pth"])
def test_real_files_agree_with_torch(read, bytes_by_name, real_files, name):
    """Every tensor that torch loads is found with the same bytes."""
    torch = pytest.importorskip("torch")
    content = (real_files / name).read_bytes()
    theirs = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    ours = bytes_by_name(read(content), content)
    flat = {key: (tuple(tensor.shape), _raw(tensor)) for key, tensor in _flatten("", theirs)}
    assert {key: (shape, data) for key, (_, shape, data) in ours.items()} == flat


def _flatten(prefix: str, value: object) -> list[tuple[str, object]]:
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        return [
            item
            for key, child in value.items()
            for item in _flatten(f"{prefix}.{key}" if prefix else key, child)
        ]
    return [(prefix, value)] if hasattr(value, "untyped_storage") else []


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("torch_dtype", "dtype"),
    [
        ("float32", "F32"),
        ("float64", "F64"),
        ("float16", "F16"),
        ("bfloat16", "BF16"),
        ("float8_e4m3fn", "F8_E4M3"),
        ("float8_e5m2", "F8_E5M2"),
        ("int8", "I8"),
        ("uint8", "U8"),
        ("int64", "I64"),
        ("uint16", "U16"),
        ("uint32", "U32"),
        ("bool", "BOOL"),
    ],
)
def test_dtypes(read, bytes_by_name, torch_dtype, dtype, zipped):
    """Each element type, in both formats of torch.save."""
    torch = pytest.importorskip("torch")
    tensor = torch.arange(6).reshape(2, 3).to(getattr(torch, torch_dtype))
    content = _saved({"w": tensor}, _use_new_zipfile_serialization=zipped)
    layout = read(content)
    assert bytes_by_name(layout, content) == {"w": (dtype, (2, 3), _raw(tensor))}
    assert [extent.dtype for extent in layout.extents] == [dtype]


def test_views_and_shared_storages(read, bytes_by_name):
    """Tied weights have both names, one extent; a transposed view has no name; a slice lies inside."""
    torch = pytest.importorskip("torch")
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    content = _saved(
        {"a": base, "tied": base, "columns": base.t(), "rows": base[1:3], "expanded": base[0:1].expand(3, 6)}
    )
    layout = read(content)
    ours = bytes_by_name(layout, content)
    assert set(ours) == {"a", "tied", "rows"}
    assert ours["rows"] == ("F32", (2, 6), _raw(base[1:3]))
    assert len(layout.extents) == 1


def test_complex_and_empty(read, bytes_by_name):
    """Complex numbers are pairs of floats; a tensor without elements keeps its name and shape."""
    torch = pytest.importorskip("torch")
    tensor = torch.complex(torch.ones(3), torch.zeros(3))
    content = _saved({"c": tensor, "none": torch.zeros(0, 4)})
    ours = bytes_by_name(read(content), content)
    assert ours["c"][:2] == ("F32", (3, 2))
    assert ours["none"] == ("F32", (0, 4), b"")


def test_optimizer_and_parameters(read):
    """Nested dicts and lists make dotted names; Parameter wrappers are seen through."""
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([weight])
    weight.sum().backward()
    optimizer.step()
    layout = read(
        _saved(OrderedDict(model={"w": weight}, optimizer=optimizer.state_dict(), extra=[torch.ones(3)]))
    )
    assert [tensor.name for tensor in layout.tensors] == [
        "model.w",
        "optimizer.state.0.step",
        "optimizer.state.0.exp_avg",
        "optimizer.state.0.exp_avg_sq",
        "extra.0",
    ]


def test_whole_module_has_the_names_of_its_state_dict(read):
    """A pickled module is read, though its class is never imported."""
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    assert {t.name for t in read(_saved(module)).tensors} == set(module.state_dict())


def test_zip_of_checkpoints(read, real_files, bytes_by_name):
    """Torch files stored in a zip, as stable-baselines3 writes them, are found under member/tensor."""
    inner = (real_files / "tinystoriesgru-int8.pt").read_bytes()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data", b'{"policy": 1}')
        archive.writestr("policy.pth", inner)
        archive.writestr("packed.pth", inner, zipfile.ZIP_DEFLATED)
    content = file.getvalue()
    inside = bytes_by_name(read(inner), inner)
    assert bytes_by_name(read(content), content) == {
        f"policy.pth/{name}": tensor for name, tensor in inside.items()
    }


def _archive(pickle: bytes, storage: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("m/data.pkl", pickle)
        archive.writestr("m/data/0", storage)
    return file.getvalue()


def test_unreadable_pickle_costs_the_names_only(read):
    """A pickle with an unknown opcode: no tensors, but the storage's type is seen from its bytes."""
    storage = np.random.default_rng(1).normal(size=4000).astype("<f4").tobytes()
    layout = read(_archive(b"\x80\x02\xff.", storage))
    assert layout.tensors == ()
    assert [(e.dtype, e.stop - e.start) for e in layout.extents] == [("F32", 16000)]


def test_nothing_is_executed(read, tmp_path):
    """A pickle that would call os.system is taken apart, not run."""
    victim = tmp_path / "victim"
    command = f"touch {victim}".encode()
    pickle = b"\x80\x02cposix\nsystem\nX" + len(command).to_bytes(4, "little") + command + b"\x85R."
    read(_archive(pickle, np.random.default_rng(1).normal(size=4000).astype("<f4").tobytes()))
    assert not victim.exists()


def test_big_endian_archive_has_no_extents():
    """Elements in the other byte order are not what their type says."""
    file = io.BytesIO(_archive(b"\x80\x02}.", bytes(100)))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("m/byteorder", "big")
    layout = read_layout(file)
    assert layout is not None
    assert layout.extents == ()


def test_pickle_limit(monkeypatch, read, real_files):
    """A longer pickle than the limit is not read; its storages still are."""
    monkeypatch.setattr(torch_zip, "MAX_PICKLE_NBYTES", 100)
    layout = read((real_files / "tinystoriesgru-int8.pt").read_bytes())
    assert layout.tensors == ()
