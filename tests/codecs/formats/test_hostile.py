"""Files that lie: no reader raises, hangs, or takes memory that the file does not pay for."""

from __future__ import annotations

import contextlib
import io
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from freebits_codecs.formats import (
    FileLayout,
    NeedMore,
    pickle_machine,
    read_head_layout,
    read_layout,
    zip_directory,
)
from freebits_codecs.formats.layout import Budget
from freebits_codecs.formats.source import FileSource, Unreadable

MAX_SECONDS = 20
MAX_PEAK_NBYTES = 300 << 20
RNG = np.random.default_rng(8)
MAGICS = [
    b"\x40\0\0\0\0\0\0\0{",
    b"\x93NUMPY\1\0",
    b"GGUF\3\0\0\0",
    b"\x89HDF\r\n\x1a\n\0",
    b"\x89HDF\r\n\x1a\n\2\x08\x08",
    b"PK\3\4",
    b"\x08\x08\x3a",
    b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.",
]


def _npy(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _hdf5(libver: str) -> bytes:
    h5py = pytest.importorskip("h5py")
    file = io.BytesIO()
    with h5py.File(file, "w", libver=libver) as root:
        root["layer/kernel"] = np.ones((3, 4), np.float32)
        root.create_dataset("chunked", data=np.ones((8, 8), np.float32), chunks=(4, 4))
    return file.getvalue()


def _onnx() -> bytes:
    onnx = pytest.importorskip("onnx")
    weights = [onnx.numpy_helper.from_array(np.ones(4, np.float32), name) for name in "ab"]
    graph = onnx.helper.make_graph([], "g", [], [], weights)
    return bytes(onnx.helper.make_model(graph).SerializeToString())


def _gguf() -> bytes:
    head = (
        b"GGUF"
        + struct.pack("<IQQ", 3, 1, 1)
        + struct.pack("<Q", 1)
        + b"k"
        + struct.pack("<IIQB", 9, 0, 1, 7)
    )
    return head + struct.pack("<Q", 1) + b"w" + struct.pack("<IQIQ", 1, 8, 0, 0) + bytes(64)


def _torch(real_files) -> bytes:
    """A real pickle whose storages are cut to nothing, so that flips hit what matters."""
    with zipfile.ZipFile(real_files / "tinystoriesgru-int8.pt") as archive:
        pickle = archive.read("archive/data.pkl")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle)
        for key in range(38):
            archive.writestr(f"archive/data/{key}", bytes(8))
    return file.getvalue()


@pytest.fixture(scope="module")
def seeds(real_files) -> dict[str, bytes]:
    """A small valid file of each format."""
    arrays = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.float16([1, 2])}
    legacy = (real_files / "rfb-epoch-499.pth").read_bytes()[:60_000]
    return {
        "safetensors": save(arrays),
        "npz": _npy(**arrays),
        "hdf5 old": _hdf5("earliest"),
        "hdf5 new": _hdf5("latest"),
        "onnx": _onnx(),
        "gguf": _gguf(),
        "torch": _torch(real_files),
        "torch-legacy": legacy,
    }


FORMATS = ["safetensors", "npz", "hdf5 old", "hdf5 new", "onnx", "gguf", "torch", "torch-legacy"]


def _check_both(content: bytes, check_layout) -> None:
    layout = read_layout(io.BytesIO(content))
    if layout is not None:
        check_layout(layout, len(content))
    head = read_head_layout(content)
    assert head is None or isinstance(head, FileLayout | NeedMore)


@pytest.mark.parametrize("name", FORMATS)
def test_every_prefix(seeds, check_layout, name):
    """Cut at a hundred places, the first of them byte by byte."""
    content = seeds[name]
    cuts = {*range(40), *np.linspace(40, len(content), 60).astype(int).tolist()}
    for cut in cuts:
        _check_both(content[:cut], check_layout)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(flips=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=8))
def test_changed_bytes(seeds, check_layout, name, flips):
    """A few bytes anywhere replaced by others."""
    content = bytearray(seeds[name])
    for place, value in flips:
        content[place % len(content)] = value
    _check_both(bytes(content), check_layout)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(magic=st.sampled_from(MAGICS), noise=st.binary(max_size=600))
def test_noise_behind_each_magic(check_layout, magic, noise):
    """Random bytes that begin like a file."""
    _check_both(magic + noise, check_layout)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(data=st.binary(max_size=200))
def test_pickle_noise(data):
    """Random opcodes end in a value or in the one error."""
    with contextlib.suppress(Unreadable):
        pickle_machine.unpickle(data + b".", 0, Budget())


def _with_pickle(pickle: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02" + pickle)
        archive.writestr("m/data/0", bytes(64))
    return file.getvalue()


def _hdf5_loop() -> bytes:
    """Old-style object header whose continuation message points at itself."""
    root = 96
    superblock = b"\x89HDF\r\n\x1a\n" + bytes([0, 0, 0, 0, 0, 8, 8, 0]) + bytes(8)
    superblock += struct.pack("<5Q", 0, 2**64 - 1, 4096, 2**64 - 1, 0) + struct.pack("<Q", root) + bytes(24)
    header = struct.pack("<BxHII4x", 1, 1, 1, 24) + struct.pack("<HHB3xQQ", 16, 16, 0, root + 16, 24)
    return (superblock[:root] + header).ljust(4096, b"\0")


def _safetensors(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header


HUGE = 2**62
PUSH_LISTS = b"(" + b"]" * 3_000_000 + b"t."
DEEP = b"N" + b"\x85" * 300_000 + b"."
MEMO_BOMB = b"N" + b"".join(b"r" + struct.pack("<I", 2**32 - 1 - n) for n in range(400_000)) + b"."
LONG_NAMES = b"}(X" + struct.pack("<I", 1000) + b"n" * 1000 + b"](" + b"Nq\0h\0" * 60_000 + b"eu."
HASH_BOMB = b"N" + b"2\x86" * 100 + b"q\0}h\0Ns."
HOSTILE_FILES = {
    "pickle of lists": _with_pickle(PUSH_LISTS),
    "pickle nested deep": _with_pickle(DEEP),
    "pickle memo": _with_pickle(MEMO_BOMB),
    "pickle long names": _with_pickle(LONG_NAMES),
    "pickle key to hash": _with_pickle(HASH_BOMB),
    "pickle claims 4 GB of bytes": _with_pickle(b"B\xff\xff\xff\xff."),
    "pickle claims a huge integer": _with_pickle(b"\x8b\xff\xff\xff\x7f" + bytes(100) + b"."),
    "safetensors of brackets": _safetensors(b'{"a":' + b"[" * 20_000_000 + b"}"),
    "safetensors of objects": _safetensors(b'{"a":' + b"{}," * 2_700_000 + b"}"),
    "safetensors of quotes": _safetensors(b'{"a":{"b' + b'"' * 4_000_000 + b'"}}'),
    "safetensors of entries": _safetensors(b"{" + b'"__metadata__":null,' * 2_200_000 + b'"a":null}'),
    "gguf claims": b"GGUF" + struct.pack("<IQQ", 3, HUGE, HUGE),
    "gguf array": b"GGUF"
    + struct.pack("<IQQ", 3, 1, 1)
    + bytes(8)
    + struct.pack("<IIQ", 9, 8, 1 << 22)
    + bytes(1 << 25),
    "onnx of fields": b"\x08\x08" + b"\x08\x01" * 5_000_000,
    "onnx nested": b"\x08\x08"
    + b"\x3a\xff\xff\xff\x7f\x0a\xff\xff\xff\x7f\x2a\xff\xff\xff\x7f\x32\xff\xff\xff\x7f" * 200_000,
    "hdf5 loop": _hdf5_loop(),
    "npy claims": b"\x93NUMPY\1\0\x76\0"
    + b"{'descr': '<f8', 'fortran_order': False, 'shape': ("
    + b"9" * 60
    + b",)}",
}


KEEP_NOTHING = {"onnx of fields", "safetensors of entries"}
"""Millions of steps that hold no memory, slow to trace."""


@pytest.mark.parametrize("name", HOSTILE_FILES)
def test_bounded_time(check_layout, name):
    """Crafted files end soon."""
    content = HOSTILE_FILES[name]
    file = io.BytesIO(content)
    start = time.process_time()  # of this process: the machine may be busy with others
    layout = read_layout(file)
    assert time.process_time() - start < MAX_SECONDS
    if layout is not None:
        check_layout(layout, len(content))


@pytest.mark.parametrize("name", [name for name in HOSTILE_FILES if name not in KEEP_NOTHING])
def test_bounded_memory(name):
    """They allocate no more than a worker can spare."""
    file = io.BytesIO(HOSTILE_FILES[name])
    tracemalloc.start()
    read_layout(file)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MAX_PEAK_NBYTES


def test_zip_inside_itself_ends(check_layout):
    """Archives nested deeper than the limit are not opened."""
    content = _npy(w=np.ones(100, np.float32))
    for _ in range(10):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("inner.zip", content)
        content = file.getvalue()
    layout = read_layout(io.BytesIO(content))
    assert layout is not None
    assert layout.extents == ()


def test_zip_member_limit(monkeypatch):
    """A directory of more members than the limit is not read."""
    monkeypatch.setattr(zip_directory, "MAX_MEMBERS", 1)
    with pytest.raises(Unreadable, match="2 zip members"):
        zip_directory.stored_members(FileSource(io.BytesIO(_npy(a=np.ones(1), b=np.ones(1)))))


def test_zip_behind_a_prefix(read):
    """Offsets of a zip behind other bytes are understood as zipfile does; deflated members are skipped."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("w.npy", _single_npy())
        archive.writestr("z.npy", _single_npy(), zipfile.ZIP_DEFLATED)
    prefixed = b"PK\3\4 not a member" + file.getvalue()
    layout = read(prefixed)
    extent = layout.extents[0]
    assert prefixed[extent.start : extent.stop] == np.ones(10, np.float32).tobytes()
    assert len(layout.extents) == 1


def _single_npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones(10, np.float32))
    return file.getvalue()


def test_zip64(read):
    """Sizes and offsets in zip64 fields, and a zip64 end record."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, archive.open("w.npy", "w", force_zip64=True) as member:
        member.write(_single_npy())
    content = file.getvalue()
    end = content.rindex(b"PK\5\6")
    count, directory_nbytes, directory_start = struct.unpack_from("<HLL", content, end + 10)
    end64 = struct.pack(
        "<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, directory_nbytes, directory_start
    )
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, end, 1)
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert [t.name for t in read(content[:end] + end64 + locator + tail).tensors] == ["w"]
