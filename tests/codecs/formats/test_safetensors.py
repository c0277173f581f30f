"""safetensors files: the library writes and reads, we find."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from freebits_codecs.formats import safetensors

ARRAYS = {
    "a.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "b": np.float16([1, -2]),
    "double": np.float64([[0.5]]),
    "ids": np.arange(5, dtype=np.int64),
    "mask": np.array([True, False, True]),
    "none": np.zeros((0, 4), np.float32),
    "scalar": np.float32(3),
    "ünïcode \"quoted\" {name}": np.uint8([1, 2, 3]),
}  # fmt: skip


def _file(entries: object, data: bytes = bytes(64)) -> bytes:
    header = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return len(header).to_bytes(8, "little") + header + data


def test_agrees_with_the_library(read, bytes_by_name):
    """Names, shapes and bytes are those that safetensors itself reads back."""
    content = save({name: np.asarray(array) for name, array in ARRAYS.items()}, metadata={"format": "pt"})
    ours = bytes_by_name(read(content), content)
    theirs = load(content)
    assert {name: (shape, data) for name, (_, shape, data) in ours.items()} == {
        name: (array.shape, array.tobytes()) for name, array in theirs.items()
    }
    assert ours["mask"][0] == "BOOL"
    assert ours["double"][0] == "F64"


def test_real_file_with_null_metadata(read, real_files, bytes_by_name):
    """A real file whose metadata is null, and whose keys are sorted unlike its data, is read in full."""
    content = (real_files / "many-tiny-tensors.safetensors").read_bytes()
    layout = read(content)
    assert len(layout.tensors) == len(layout.extents) == 72
    assert bytes_by_name(layout, content)["blocks.layers.0.ffwd.net.layers.0.bias"][:2] == ("F32", (64,))


@pytest.mark.parametrize(
    ("dtype", "shape", "nbytes", "expected"),
    [
        ("BF16", [2, 2], 8, ("BF16", (2, 2))),
        ("F8_E4M3", [8], 8, ("F8_E4M3", (8,))),
        ("F8_E8M0", [8], 8, ("U8", (8,))),
        ("F4", [16], 8, ("U8", (8,))),
        ("C64", [1], 8, ("F32", (1, 2))),
        ("made up", [3, 3], 8, ("U8", (8,))),
        ("F32", [3], 8, ("U8", (8,))),
    ],
)
def test_dtypes_we_do_not_compute_with(read, dtype, shape, nbytes, expected):
    """Types outside the table, and shapes that do not fit their bytes, become opaque bytes."""
    layout = read(_file({"t": {"dtype": dtype, "shape": shape, "data_offsets": [0, nbytes]}}))
    assert [(t.dtype, t.shape) for t in layout.tensors] == [expected]


def test_holes_and_padding_are_tolerated(read):
    """Bytes that no tensor claims are simply not in an extent."""
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [16, 24]}
    layout = read(_file(json.dumps({"t": entry}).encode() + b"   "))
    assert layout.extents[0].stop - layout.extents[0].start == 8


def test_repeated_name_keeps_the_first(read):
    """A name given twice loads the first tensor; both are extents."""
    entry = b'"t":{"dtype":"U8","shape":[4],"data_offsets":[%d,%d]}'
    layout = read(_file(b"{" + entry % (0, 4) + b"," + entry % (4, 8) + b"}"))
    assert len(layout.tensors) == 1
    assert len(layout.extents) == 2


@pytest.mark.parametrize("header", [b"{}", b"{ }  ", b'{"__metadata__":{"a":"{}"}}'])
def test_no_tensors(read, header):
    """A file without tensors is recognised and empty."""
    assert read(_file(header, b"")).tensors == ()


def test_torn_file_keeps_whole_elements(read):
    """Of a tensor that is cut off, the extent keeps the whole elements and the name goes."""
    content = save({"a": np.arange(4, dtype=np.float32), "b": np.arange(4, dtype=np.float32)})[:-6]
    layout = read(content)
    assert [tensor.name for tensor in layout.tensors] == ["a"]
    assert [extent.stop - extent.start for extent in layout.extents] == [16, 8]


def test_header_limit():
    """A header longer than the library allows is not read."""
    assert safetensors.recognises((safetensors.MAX_HEADER_NBYTES).to_bytes(8, "little") + b"{")
    assert not safetensors.recognises((safetensors.MAX_HEADER_NBYTES + 1).to_bytes(8, "little") + b"{")


def test_entry_limit(read):
    """An entry of more text than a tensor needs is passed over in a long header; the next one counts."""
    entry = {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}
    long_name = "n" * safetensors.MAX_ENTRY_NBYTES
    layout = read(_long({long_name: {**entry, "data_offsets": [4, 8]}, "t": entry}))
    assert [t.name for t in layout.tensors] == ["t"]
    assert len(layout.extents) == 1


def test_long_header_is_read_like_a_short_one(read):
    """A header too long for the JSON parser gives the same tensors and extents, only further behind."""
    names = [*ARRAYS, "twice", "twice"]
    entries = [
        json.dumps({name: {"dtype": "F16", "shape": [2, 1], "data_offsets": [4 * i, 4 * i + 4]}})[1:-1]
        for i, name in enumerate(names)
    ]
    text = ('{"__metadata__":null,' + ",".join(entries) + "}").encode()
    short, long = read(_file(text)), read(_long(text))
    assert [t.name for t in short.tensors] == list(dict.fromkeys(names))
    behind = safetensors.WHOLE_HEADER_NBYTES
    assert [t._replace(start=t.start + behind, stop=t.stop + behind) for t in short.tensors] == list(long.tensors)
    assert [e._replace(start=e.start + behind, stop=e.stop + behind) for e in short.extents] == list(long.extents)


@pytest.mark.parametrize("mistake", [b',"u":{"dtype":"U8"', b',"u":[[', b',"\xff":null}'])
def test_tensors_before_a_mistake_are_extents(read, mistake):
    """A header that breaks off loses its names; what came before the break is still coded as numbers."""
    layout = read(
        _file(json.dumps({"t": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()[:-1] + mistake)
    )
    assert layout.tensors == ()
    assert [extent.dtype for extent in layout.extents] == ["F32"]


def _long(entries: object) -> bytes:
    """The same with as many blanks behind its header as make it too long to be parsed at once."""
    header = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return _file(header + b" " * safetensors.WHOLE_HEADER_NBYTES)
