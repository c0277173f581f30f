"""What goes in comes out, bit by bit: every dtype, length, kind of value, buffer and real file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freebits_codecs import CHUNK_NBYTES, decode, decode_file, encode, encode_file
from freebits_codecs.container.writer import ContainerWriter
from freebits_codecs.dtype import DTYPES
from freebits_codecs.formats import Extent, read_layout
from freebits_codecs.planner import ExtentArrays
from freebits_codecs.testing import MIXES, safetensors, values

LANE_EDGES = (0, 1, 2, 63, 64, 65, 127, 129)
TILE_EDGES = (4095, 4096, 4097, 8191, 8193)
STREAM_EDGES = (65535, 65536, 65537, 262143, 262144, 262145)
CHUNK_EDGES = (CHUNK_NBYTES - 1, CHUNK_NBYTES, CHUNK_NBYTES + 1, 2 * CHUNK_NBYTES + 7)

dtypes = st.sampled_from(sorted(DTYPES))
mixes = st.sampled_from(sorted(MIXES))


def examples(count: int) -> settings:
    """The same `count` examples in every run."""
    return settings(max_examples=count, derandomize=True, deadline=None, database=None)


def assert_round_trip(data: bytes, threads: int = 1) -> bytes:
    """Encode and decode in memory and as files, check equality and size; returns the container."""
    packed = encode(data, threads=threads, sha256=True)
    assert decode(packed, threads=threads) == data
    assert len(packed) <= 1.001 * len(data) + 4096
    streamed, back = io.BytesIO(), io.BytesIO()
    encode_file(io.BytesIO(data), streamed, threads=threads)
    assert streamed.getvalue() == packed
    decode_file(io.BytesIO(packed), back, threads=threads)
    assert back.getvalue() == data
    return packed


@examples(250)
@given(dtypes, mixes, st.sampled_from(LANE_EDGES + TILE_EDGES) | st.integers(0, 20_000), st.integers(0, 9))
def test_tensor_of_any_dtype_length_and_values(dtype: str, mix: str, numel: int, odd_start: int) -> None:
    """A tensor that begins at any offset of a safetensors file comes back as it was."""
    data = safetensors([("U8", bytes(odd_start)), (dtype, values(mix, dtype, numel))])
    assert_round_trip(data)


@pytest.mark.parametrize("numel", STREAM_EDGES)
@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "F32"])
def test_lengths_where_the_number_of_streams_changes(dtype: str, numel: int) -> None:
    """Planes of 1, 2 and 4 streams, just below, at and above each border."""
    for mix in ("normal", "peaked", "changing"):
        assert_round_trip(safetensors([("U8", b"odd"), (dtype, values(mix, dtype, numel))]))


@pytest.mark.parametrize("nbytes", CHUNK_EDGES)
def test_lengths_around_a_chunk(nbytes: int) -> None:
    """Bare bytes of a chunk's length, one more and one less: text, noise, zeros, guessed floats."""
    rng = np.random.default_rng(nbytes)
    floats = rng.normal(0, 0.02, nbytes // 4 + 1).astype(np.float32).tobytes()[:nbytes]
    for data in (bytes(nbytes), rng.bytes(nbytes), (b"lossless " * nbytes)[:nbytes], floats):
        assert_round_trip(data)


@examples(150)
@given(st.lists(st.tuples(dtypes, mixes, st.integers(1, 900), st.integers(0, 20)), max_size=12), st.integers(1, 3))
def test_extents_that_start_anywhere_and_straddle_chunks(pieces: list[tuple[str, str, int, int]], threads: int) -> None:
    """Extents of several types with gaps between them, in chunks of 4 KiB."""
    data, extents = b"", []
    for number, (dtype, mix, numel, gap) in enumerate(pieces):
        data += bytes(range(gap))
        content = values(mix, dtype, numel, seed=number)
        extents.append(Extent(dtype, len(data), len(data) + len(content)))
        data += content
    stored: list[bytes] = []
    writer = ContainerWriter(
        lambda piece: stored.append(bytes(piece)), ExtentArrays.of(extents), threads=threads, chunk_nbytes=4096
    )
    for start in range(0, len(data), writer.batch_nbytes):
        writer.write_batch(memoryview(data)[start : start + writer.batch_nbytes])
    writer.finish()
    assert decode(b"".join(stored), threads=threads) == data


@pytest.mark.parametrize("count", [4095, 4096, 4097])
def test_as_many_extents_as_a_chunk_can_have(count: int) -> None:
    """Small extents with a byte between them, at and around the number that a chunk's run list can hold."""
    data = values("normal", "BF16", 8 * count + 1)
    extents = [Extent("BF16" if i % 2 else "I16", 16 * i + 1, 16 * i + 15) for i in range(count)]
    stored: list[bytes] = []
    writer = ContainerWriter(lambda piece: stored.append(bytes(piece)), ExtentArrays.of(extents))
    writer.write_batch(memoryview(data))
    writer.finish()
    assert decode(b"".join(stored)) == data


def test_real_file_with_any_number_of_threads(real_file: Path) -> None:
    """Every real file comes back, and the container does not depend on the number of threads."""
    data = real_file.read_bytes()
    packed = assert_round_trip(data)
    assert all(encode(data, threads=threads, sha256=True) == packed for threads in (2, 3))
    assert decode(packed, threads=3) == data


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.999])
def test_truncated_and_mislabelled_files_are_only_bytes(real_file: Path, cut: float) -> None:
    """A file that ends early, or that follows another file's header, is encoded as what it is."""
    data = real_file.read_bytes()[:200_000]
    assert_round_trip(data[: int(cut * len(data))])
    assert_round_trip(safetensors([("BF16", bytes(400))])[:100] + data[:20_000])


def test_large_file_in_several_batches() -> None:
    """A file of more chunks than one batch holds, with every kind of value, on several threads."""
    tensors = [(dtype, values(mix, dtype, 40_000)) for dtype in ("BF16", "F32", "I64") for mix in ("normal", "peaked")]
    data = safetensors([("U8", b"x"), *tensors, ("F16", values("normal", "F16", 6_000_000))])
    assert read_layout(io.BytesIO(data)) is not None
    packed = assert_round_trip(data, threads=2)
    assert encode(data, sha256=True) == packed


@pytest.mark.parametrize(
    "array",
    [
        np.arange(2000, dtype=">f4"),
        np.arange(2000, dtype="<f2").reshape(50, 40),
        np.array(3.5),
        np.empty((0, 4), np.float32),
        np.arange(500).astype(np.complex64),
        np.array([True, False] * 300),
        np.array(["2026-01-01"], "datetime64[s]"),
        np.zeros(10, [("a", "<f4"), ("b", "u1")]),
        np.asfortranarray(np.arange(12.0).reshape(3, 4)).T,
    ],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_arrays_of_any_type_and_shape(array: np.ndarray) -> None:
    """A contiguous numpy array of whatever type is its bytes."""
    assert decode(encode(array)) == array.tobytes()


def test_bfloat16_arrays() -> None:
    """The bfloat16 of ml_dtypes, which has no code in the buffer protocol, is taken as well."""
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    array = np.arange(300).astype(bfloat16)
    assert decode(encode(array)) == array.tobytes()


def test_buffers_of_every_kind() -> None:
    """bytes, bytearray and memoryview give the same container, and a container may be any of them."""
    data = values("normal", "BF16", 5000)
    packed = encode(data)
    assert encode(bytearray(data)) == encode(memoryview(data)) == encode(np.frombuffer(data, "<u2")) == packed
    assert decode(bytearray(packed)) == decode(memoryview(packed)) == decode(np.frombuffer(packed, np.uint8)) == data


def test_scattered_memory_is_refused() -> None:
    """A strided array is not silently copied."""
    with pytest.raises(ValueError, match="not contiguous"):
        encode(np.arange(100)[::2])
