"""What inspecting a container says about the tensors in it, on real files and on one made for the purpose."""

from __future__ import annotations

import json
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from freebits_codecs import BytesSource, ContainerReader, encode
from freebits_codecs.container.view import OriginalFile
from freebits_codecs.errors import CorruptContainer
from freebits_codecs.formats import read_layout
from freebits_codecs.inspection import inspect_container
from freebits_codecs.testing import safetensors

FILES = Path(__file__).parents[1] / "data" / "formats"


def inspect(data: bytes, **how: bool):
    return inspect_container(BytesSource(encode(data, **how)))


def weights(numel: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.02, numel).astype("<f4")


@pytest.fixture(scope="module")
def mixed():
    """Weights, narrow weights over three chunks, nothing, and counters; zstd takes the first chunk and the last."""
    bf16 = (weights(1_000_000, 1).view("<u4") >> 16).astype("<u2")
    return safetensors([
        ("F32", weights(100_000, 2).tobytes()),
        ("BF16", bf16.tobytes()),
        ("F32", b""),
        ("I32", np.arange(5000, dtype="<i4").tobytes()),
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("name", "format_name", "tensor_count"),
    [
        ("many-tiny-tensors.safetensors", "safetensors", 72),
        ("tinystoriesgru-int8.pt", "torch", None),
        ("rfb-epoch-499.pth", "torch-legacy", None),
        ("resnet-quant.tflite", None, 0),
    ],
)
def test_real_files(name, format_name, tensor_count):
    """Tensors are those of the file's directory, and every stored byte is somebody's."""
    data = (FILES / name).read_bytes()
    container = encode(data, sha256=True)
    found = inspect_container(BytesSource(container))
    layout = read_layout(BytesIO(data))
    assert found.format == (layout.format if layout else None) == format_name
    assert [tensor.name for tensor in found.tensors] == [tensor.name for tensor in (layout.tensors if layout else ())]
    assert tensor_count in (None, len(found.tensors))
    assert (found.nbytes, found.stored_nbytes) == (len(data), len(container))
    parts = [*found.tensors, found.outside]
    assert sum(part.nbytes for part in parts) == len(data)
    assert abs(sum(part.stored_nbytes for part in parts) - len(container)) <= len(parts)


def test_container_facts(mixed):
    """Version, digest, chunks and ratio are the container's."""
    found = inspect(mixed, sha256=True)
    assert (found.version, found.format, found.chunk_count) == (3, "safetensors", 3)
    assert len(found.sha256) == 64
    assert found.ratio == found.nbytes / found.stored_nbytes > 1.2
    assert inspect(mixed).sha256 is None


def test_tensor_facts(mixed):
    """Each tensor has its planes and how they are coded, its share of the bytes, and the bits of its exponents."""
    wide, narrow, none, counters = inspect(mixed).tensors
    assert (wide.dtype, wide.shape, wide.nbytes) == ("F32", (100_000,), 400_000)
    assert wide.planes["exponent"] == "zstd+rans"
    assert wide.planes["mantissa.7-0"] == "zstd+raw"
    assert 1.15 < wide.ratio < 1.22
    assert narrow.planes["exponent"] == "rans,zstd+rans"
    assert 1.45 < narrow.ratio < 1.55
    assert 2.5 < wide.exponent_bits < 2.9
    assert 2.5 < narrow.exponent_bits < 2.9
    assert (none.nbytes, none.stored_nbytes, none.planes, none.exponent_bits) == (0, 0, {}, None)
    assert counters.exponent_bits is None
    assert set(counters.planes) >= {"byte.3", "byte.0"}
    assert counters.ratio > 2


def test_zstd_is_named():
    """Chunks that zstd took say so, and count as much as they are stored in."""
    found = inspect(b"the same words, again and again; " * 3000)
    assert found.outside.planes == {"bytes": "zstd+raw"}
    assert found.outside.ratio > 100
    assert found.outside.stored_nbytes == found.stored_nbytes


def test_tensors_that_share_bytes():
    """Tied weights each count the bytes they share; nothing is left outside because of it."""
    data = weights(5000, 3).tobytes()
    header = json.dumps({
        name: {"dtype": "F32", "shape": [5000], "data_offsets": [0, len(data)]} for name in ("a", "b")
    }).encode()  # fmt: skip
    found = inspect(struct.pack("<Q", len(header)) + header + data)
    assert len({tensor.stored_nbytes for tensor in found.tensors}) == 1
    assert found.outside.nbytes == 8 + len(header)


def test_empty_file():
    """A container of nothing has no tensors, no chunks and 100 bytes."""
    found = inspect(b"")
    assert (found.nbytes, found.stored_nbytes, found.chunk_count, found.tensors) == (0, 100, 0, ())
    assert found.outside.stored_nbytes == 100


def test_path_and_damage(tmp_path, mixed):
    """A path is opened and closed; a chunk whose checksum is wrong is refused."""
    path = tmp_path / "mixed.safetensors.fb"
    container = bytearray(encode(mixed))
    path.write_bytes(container)
    assert inspect_container(path) == inspect_container(str(path)) == inspect(mixed)
    container[len(container) // 2] ^= 1
    path.write_bytes(container)
    with pytest.raises(CorruptContainer, match="checksum"):
        inspect_container(path)


def test_decoded_file_reads_like_the_original(mixed):
    """A OriginalFile seeks and reads as a file of the original bytes does."""
    file = OriginalFile(ContainerReader(BytesSource(encode(mixed))))
    assert file.readall() == mixed
    assert file.read(1) == b""
    assert file.seek(-3, 2) == len(mixed) - 3
    assert file.read(10) == mixed[-3:]
    assert file.seek(5) == file.tell() == 5
    assert file.read(3) == mixed[5:8]
    assert file.seek(2, 1) == 10
    with pytest.raises(ValueError, match="before the first byte"):
        file.seek(-1)
