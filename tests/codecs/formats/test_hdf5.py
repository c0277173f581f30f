"""HDF5 files: h5py writes, we find."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest

from freebits_codecs.formats import read_layout

h5py = pytest.importorskip("h5py")
RNG = np.random.default_rng(5)


def _file(write: Callable[[object], None], **options: object) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w", **options) as root:
        write(root)
    return file.getvalue()


def _datasets(content: bytes) -> dict[str, tuple[tuple[int, ...], bytes]]:
    found = {}
    with h5py.File(io.BytesIO(content), "r") as root:
        root.visititems(
            lambda name, item: (
                found.update({name: (item.shape, item[()].tobytes())}) if hasattr(item, "dtype") else None
            )
        )
    return found


def _keras_like(root: object) -> None:
    for layer in range(20):  # more members than one symbol table node holds
        group = root.create_group(f"dense_{layer}/dense_{layer}")
        group["kernel:0"] = RNG.normal(size=(7, 5)).astype(np.float32)
        group["bias:0"] = RNG.normal(size=5).astype(np.float16)
    root.attrs["layer_names"] = [b"dense"] * 20


def test_keras_layout_agrees_with_h5py(read, bytes_by_name):
    """Groups inside groups, as Keras saves them: all names, shapes and bytes."""
    content = _file(_keras_like)
    ours = bytes_by_name(read(content), content)
    assert {name: (shape, data) for name, (_, shape, data) in ours.items()} == _datasets(content)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize(
    ("numpy_dtype", "dtype"),
    [
        ("<f2", "F16"),
        ("<f4", "F32"),
        ("<f8", "F64"),
        ("i1", "I8"),
        ("<u4", "U32"),
        ("<i8", "I64"),
        ("?", "BOOL"),
    ],
)
def test_dtypes_in_old_and_new_files(read, bytes_by_name, numpy_dtype, dtype, libver):
    """Both generations of object headers, every numeric type h5py stores little-endian."""
    array = np.arange(12).reshape(3, 4).astype(numpy_dtype)
    content = _file(lambda root: root.create_dataset("g/x", data=array), libver=libver)
    assert bytes_by_name(read(content), content) == {"g/x": (dtype, (3, 4), array.tobytes())}


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_unfiltered_chunks_are_extents(read, libver):
    """All elements of a chunked dataset are in extents, edge chunks padded; not being one run, no name."""
    array = RNG.normal(size=(50, 30)).astype(np.float32)
    content = _file(lambda root: root.create_dataset("x", data=array, chunks=(16, 8)), libver=libver)
    layout = read(content)
    assert layout.tensors == ()
    assert sum(extent.stop - extent.start for extent in layout.extents) == 4 * 4 * 16 * 8 * 4
    found = np.concatenate([np.frombuffer(content[e.start : e.stop], "<f4") for e in layout.extents])
    assert np.isin(array, found).all()


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_single_chunk_is_a_tensor(read, libver, bytes_by_name):
    """A chunk as large as its dataset is one run in C order."""
    array = RNG.normal(size=(8, 8)).astype(np.float32)
    content = _file(lambda root: root.create_dataset("x", data=array, chunks=(8, 8)), libver=libver)
    assert bytes_by_name(read(content), content)["x"] == ("F32", (8, 8), array.tobytes())


def test_compact_dataset(read, bytes_by_name):
    """Data inside the object header."""

    def write(root: object) -> None:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((4,))
        dataset = h5py.h5d.create(root.id, b"x", h5py.h5t.IEEE_F32LE, space, plist)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(4, dtype=np.float32))

    content = _file(write)
    assert bytes_by_name(read(content), content)["x"][2] == np.arange(4, dtype=np.float32).tobytes()


def test_what_is_not_plain_is_left_alone(read):
    """Compressed chunks, strings, big-endian numbers, records and unwritten datasets give no extents."""

    def write(root: object) -> None:
        root.create_dataset("gzip", data=np.zeros(100, np.float32), compression="gzip")
        root["text"] = "hello"
        root["big"] = np.zeros(4, ">f4")
        root["records"] = np.zeros(4, "f4,i4")
        root.create_dataset("unwritten", (10,), np.float32)
        root["soft"] = h5py.SoftLink("/big")
        root["loop"] = root["/"]

    assert read(_file(write)).extents == ()


def test_bfloat16_by_its_bits(read):
    """A two-byte float with 8 exponent bits is BF16, though h5py has no name for it."""
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(15, 7, 8, 0, 7)
    kind.set_size(2)
    kind.set_precision(16)
    kind.set_ebias(127)

    def write(root: object) -> None:
        h5py.h5d.create(root.id, b"x", kind, h5py.h5s.create_simple((4,))).write(
            h5py.h5s.ALL, h5py.h5s.ALL, np.ones(4, np.uint16), mtype=kind
        )

    assert [extent.dtype for extent in read(_file(write)).extents] == ["BF16"]


def test_many_members_of_new_files_are_left_to_sniffing():
    """Groups whose links lie in a fractal heap are recognised and read as empty."""
    content = _file(
        lambda root: [root.create_dataset(f"{n}", data=np.ones(4)) for n in range(20)], libver="latest"
    )
    layout = read_layout(io.BytesIO(content))
    assert layout is not None
    assert layout.extents == ()
