"""npy and npz files: numpy writes, we find."""

from __future__ import annotations

import io

import numpy as np
import pytest

from freebits_codecs.formats import npy, read_layout


def _saved(array: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("numpy_dtype", "dtype"),
    [("<f2", "F16"), ("<f4", "F32"), ("<f8", "F64"), ("|i1", "I8"), ("<u8", "U64"), ("|b1", "BOOL")],
)
def test_array(read, bytes_by_name, numpy_dtype, dtype):
    """One array, under numpy's own name for it."""
    array = np.arange(6).reshape(2, 3).astype(numpy_dtype)
    content = _saved(array)
    assert bytes_by_name(read(content), content) == {"arr_0": (dtype, (2, 3), array.tobytes())}


def test_shapes(read):
    """Scalars, vectors and empty arrays."""
    for shape in [(), (5,), (0, 3), (1, 1, 1)]:
        assert read(_saved(np.zeros(shape, np.float32))).tensors[0].shape == shape


def test_complex_is_pairs_of_floats(read):
    """A complex array is a float array with one more dimension."""
    assert read(_saved(np.zeros(4, np.complex64))).tensors[0].shape == (4, 2)


def test_fortran_order_has_no_name(read):
    """Columns first is not C order: the bytes are an extent, the array is not offered by name."""
    layout = read(_saved(np.asfortranarray(np.ones((3, 4), np.float32))))
    assert layout.tensors == ()
    assert layout.extents[0].stop - layout.extents[0].start == 48


@pytest.mark.parametrize("array", [np.zeros(3, ">f4"), np.zeros(3, "f4,i4"), np.array([None])])
def test_types_left_alone(read, array):
    """Big-endian, structured and object arrays are recognised and give no extents."""
    assert read(_saved(array)).extents == ()


def test_npz(read, bytes_by_name):
    """Every stored member of an npz is a tensor under the name it was saved with."""
    arrays = {"w": np.arange(4, dtype=np.float32), "layer/b": np.arange(3, dtype=np.int16)}
    file = io.BytesIO()
    np.savez(file, **arrays)
    layout = read(file.getvalue())
    assert layout.format == "npz"
    ours = bytes_by_name(layout, file.getvalue())
    assert {name: data for name, (_, _, data) in ours.items()} == {n: a.tobytes() for n, a in arrays.items()}


def test_compressed_npz_has_no_extents():
    """Deflated members hold no float bytes to find."""
    file = io.BytesIO()
    np.savez_compressed(file, w=np.zeros(100, np.float32))
    layout = read_layout(file)
    assert layout is not None
    assert layout.extents == ()


def test_header_limit():
    """A header beyond numpy's own limit is not read."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }"
    for nbytes, known in [(npy.MAX_HEADER_NBYTES, True), (npy.MAX_HEADER_NBYTES + 1, False)]:
        content = b"\x93NUMPY\1\0" + nbytes.to_bytes(2, "little") + header.ljust(nbytes) + bytes(16)
        assert (read_layout(io.BytesIO(content)) is not None) is known
