"""GGUF files: written here by hand, and by the gguf package where it is installed."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from freebits_codecs.formats import gguf, read_layout


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _file(
    metadata: list[bytes], tensors: list[tuple[str, tuple[int, ...], int, int]], version: int = 3
) -> bytes:
    directory = b"".join(
        _string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)
        for name, dims, kind, offset in tensors
    )
    return (
        b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata)) + b"".join(metadata) + directory
    )


TOKENS = _string("tokens") + struct.pack("<IIQ", 9, 8, 3) + _string("a") + _string("") + _string("ccc")
NUMBERS = _string("scores") + struct.pack("<IIQ3f", 9, 6, 3, 1, 2, 3)
NESTED = _string("nested") + struct.pack("<IIQIQ2B", 9, 9, 1, 0, 2, 7, 7)
ALIGNED_64 = _string("general.alignment") + struct.pack("<II", 4, 64)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("metadata", "alignment"), [([TOKENS, NUMBERS, NESTED], 32), ([ALIGNED_64, TOKENS], 64)]
)
def test_directory(read, version, metadata, alignment):
    """Tensors start at aligned offsets after metadata of every kind; dimensions are turned to C order."""
    content = _file(metadata, [("w", (4, 3), 0, 0), ("h", (8,), 1, 64), ("q", (64, 2), 8, 128)], version)
    start = -(-len(content) // alignment) * alignment
    layout = read(content.ljust(start + 1024, b"\0"))
    assert [(t.name, t.dtype, t.shape, t.start - start) for t in layout.tensors] == [
        ("w", "F32", (3, 4), 0),
        ("h", "F16", (8,), 64),
        ("q", "U8", (136,), 128),
    ]


def test_agrees_with_the_gguf_package(read, tmp_path):
    """Offsets and bytes are those that llama.cpp's own reader finds."""
    package = pytest.importorskip("gguf")
    path = tmp_path / "m.gguf"
    writer = package.GGUFWriter(str(path), "llama")
    writer.add_token_list([f"token {n}" for n in range(50)])
    writer.add_tensor("a", np.arange(12, dtype=np.float32).reshape(3, 4))
    writer.add_tensor("b", np.arange(6, dtype=np.float16))
    writer.add_tensor("q", np.zeros((2, 34), np.uint8), raw_dtype=package.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    content = path.read_bytes()
    theirs = {
        tensor.name: (tensor.data_offset, tensor.data_offset + tensor.n_bytes)
        for tensor in package.GGUFReader(str(path)).tensors
    }
    assert {t.name: (t.start, t.stop) for t in read(content).tensors} == theirs


def test_block_sizes_agree_with_the_gguf_package():
    """Every quantised type we know has the block that the package says."""
    package = pytest.importorskip("gguf")
    theirs = {kind.value: size for kind, size in package.GGML_QUANT_SIZES.items()}
    assert {kind: theirs[kind] for kind in gguf._BLOCKS} == gguf._BLOCKS


@pytest.mark.parametrize(
    "content",
    [
        _file([_string("k" * (gguf.MAX_NAME_NBYTES + 1)) + struct.pack("<IB", 0, 0)], [("w", (4,), 0, 0)]),
        _file([], [("w", (1,) * (gguf.MAX_RANK + 1), 0, 0)]),
        _file([_string("a") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 9], [("w", (4,), 0, 0)]),
        _file([_string("general.alignment") + struct.pack("<II", 4, 0)], [("w", (4,), 0, 0)]),
        b"GGUF" + struct.pack("<IQQ", 3, 1 << 40, 0),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 40),
    ],
    ids=["name", "rank", "array depth", "alignment", "tensor count", "metadata count"],
)
def test_limits(content, tmp_path):
    """Each limit refuses the directory as a whole."""
    path = tmp_path / "m.gguf"
    path.write_bytes(content + bytes(4096))
    with path.open("rb") as file:
        assert read_layout(file) is None
