"""What zstd is given of a chunk, and what of it is kept."""

from __future__ import annotations

import io

import numpy as np
import pytest
import zstandard

from freebits_codecs import BytesSource, ContainerReader, decode, encode, encode_file
from freebits_codecs.container.encoder import SPLIT_ONLY, RecordEncoder
from freebits_codecs.container.frames import RAW, parse_payload
from freebits_codecs.container.records import CHUNK_NBYTES, RECORD_NBYTES, ZSTD_FLAG
from freebits_codecs.container.zstd_frame import compress_head
from freebits_codecs.dtype import DTYPES
from freebits_codecs.formats import Extent
from freebits_codecs.planner import ExtentArrays
from freebits_codecs.testing import safetensors, values


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32", "F64", "I32"])
def test_zstd_is_offered_the_planes(dtype: str) -> None:
    """Split and uncoded, also where no plane is constant and the planes are as long as the elements."""
    data = memoryview(values("uniform", dtype, 3000))
    extents = ExtentArrays.of([Extent(dtype, 0, len(data))])
    (frame,) = parse_payload(RecordEncoder(CHUNK_NBYTES, None, 1).payload(data, 0, extents, SPLIT_ONLY)).frames
    assert frame.nbytes == len(data)
    assert len(frame.planes) == DTYPES[dtype].itemsize
    assert all(plane.codec == RAW for plane in frame.planes)


def test_repetition_in_single_planes_is_found() -> None:
    """Rows that recur in all but two of their last bits: elements seldom recur in a row, three of four planes do."""
    rng = np.random.default_rng(7)
    rows = np.tile(rng.normal(0, 0.02, 4096).astype("<f4").view("<u4") & np.uint32(0xFFFFFF00), 8)
    data = safetensors([("F32", (rows | rng.integers(0, 4, rows.size, np.uint32)).tobytes())])
    stored = encode(data)
    assert decode(stored) == data
    assert len(stored) < 1.05 * (3 * 4096 + rows.size / 4)


HEADS = {
    "text": b" ".join(b"layers.%d.weight" % (i * i % 97) for i in range(500)),
    "one byte": bytes(5000),
    "noise": np.random.default_rng(1).bytes(3000),
    "several blocks": b" ".join(b"%d" % (i * i) for i in range(60_000)),
    "empty": b"",
}


@pytest.mark.parametrize("rest_nbytes", [0, 1, 1000, 1 << 17, (1 << 17) + 1, 500_000])
@pytest.mark.parametrize("level", [1, 12, 22])
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_compressed_head(head: bytes, level: int, rest_nbytes: int) -> None:
    """zstd reads the frame, of whatever blocks it is made; the head is as short as alone, the rest as long as it is."""
    data = memoryview(head + np.random.default_rng(2).bytes(rest_nbytes))
    compressor = zstandard.ZstdCompressor(level=level)
    frame = compress_head(data, len(head), compressor)
    assert zstandard.frame_content_size(frame) == len(data)
    assert zstandard.decompress(frame) == data
    assert len(frame) <= len(compressor.compress(head)) + rest_nbytes + 3 * (rest_nbytes // (1 << 17) + 1) + 9


def test_head_and_checksum() -> None:
    """A checksum of the head alone would stand in the middle of the frame."""
    with pytest.raises(ValueError, match="checksums"):
        compress_head(memoryview(b"text" * 100), 200, zstandard.ZstdCompressor(write_checksum=True))


def large_with_header(tensors: int) -> bytes:
    """Two chunks and a half of normal weights under names for all of `tensors` parts."""
    numel = 5 * CHUNK_NBYTES // 2 // 2 // tensors
    return safetensors([("BF16", values("normal", "BF16", numel, seed)) for seed in range(tensors)])


@pytest.mark.parametrize("tensors", [3, 40])
def test_header_of_a_large_file_is_packed(tensors: int) -> None:
    """The text that a file begins with is a small part of its first chunk, and packed all the same; only there."""
    data = large_with_header(tensors)
    header_nbytes = 8 + int.from_bytes(data[:8], "little")
    container = encode(data)
    reader = ContainerReader(BytesSource(container))
    records = [reader.read_record(chunk) for chunk in range(reader.chunk_count)]
    assert [record.flags for record, _ in records] == [ZSTD_FLAG, 0, 0]
    inflated = zstandard.frame_content_size(bytes(records[0][1][RECORD_NBYTES:]))
    assert records[0][0].stored_nbytes < inflated - header_nbytes / 3
    assert decode(container) == data


@pytest.mark.parametrize("nbytes", [CHUNK_NBYTES - 1, CHUNK_NBYTES, CHUNK_NBYTES + 1])
def test_pipes_pack_alike(nbytes: int) -> None:
    """Whether the length is known beforehand makes no difference, also around a single chunk."""
    data = large_with_header(40)[:nbytes]
    piped = io.BytesIO()
    encode_file(io.BufferedReader(_Pipe(data)), piped, sha256=False)
    assert piped.getvalue() == encode(data)


class _Pipe(io.RawIOBase):
    """Bytes that come in pieces and cannot be sought."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._file.readinto(buffer[:70_000])
