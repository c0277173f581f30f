"""Adaptive planes: what is written is read by both decoders, what is not is refused, and other files have none."""

from __future__ import annotations

import numpy as np
import pytest

from freebits_codecs import BytesSource, ContainerReader, _core, decode, encode
from freebits_codecs.container import frames
from freebits_codecs.container.decoder import inflate
from freebits_codecs.container.encoder import ADAPTIVE, RecordEncoder
from freebits_codecs.container.records import CHUNK_NBYTES, RECORD_NBYTES, ZSTD_FLAG
from freebits_codecs.errors import CorruptContainer
from freebits_codecs.formats import Extent
from freebits_codecs.planner import ExtentArrays
from freebits_codecs.reference import decode_container
from freebits_codecs.reference.adaptive import MAX_NUMEL, decode_adaptive_plane
from freebits_codecs.reference.chunk import decode_chunk
from freebits_codecs.testing import Parts, safetensors, values

TOO_LONG = 13
"""Fault of an adaptive plane that is too long or leaves bytes (csrc/status.h)."""


def varint(number: int) -> bytes:
    return bytes([number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14])


def frame_of(coded: bytes, numel: int) -> bytes:
    """A frame of one adaptive plane of plain bytes."""
    return b"\0" + varint(numel) + b"\3" + varint(len(coded)) + coded


def payload_of(*frames: bytes) -> bytes:
    """A chunk of these frames."""
    return b"\0" + b"".join(frames)


def native(coded: bytes, numel: int) -> bytes | int:
    """The plane, or the code of the fault."""
    out = bytearray(numel)
    fault = _core.decode_payload(payload_of(frame_of(coded, numel)), out)
    return bytes(out) if fault is None else fault[1]


def coded_exponents(words: np.ndarray) -> tuple[bytes, bytes]:
    """The exponents of BF16 elements whose other bits are all 0, and the adaptive plane they become."""
    data = memoryview(words.astype("<u2").tobytes())
    extents = ExtentArrays.of([Extent("BF16", 0, len(data))])
    payload = RecordEncoder(CHUNK_NBYTES, None, 1).payload(data, 0, extents, ADAPTIVE)
    (frame,) = frames.parse_payload(payload).frames
    assert [plane.codec for plane in frame.planes] == [frames.ADAPTIVE, frames.CONSTANT]
    plane = frame.planes[0]
    return (words >> 7).astype(np.uint8).tobytes(), bytes(payload[plane.start : plane.stop])


@pytest.mark.parametrize("numel", [300, 4095, 4097, MAX_NUMEL])
@pytest.mark.parametrize("spread", [0.2, 2, 30])
def test_both_decoders_give_the_plane_back(numel: int, spread: float) -> None:
    """Peaked and wide planes, in which all values of a byte may occur."""
    rng = np.random.default_rng(numel)
    exponents = np.clip(np.rint(rng.normal(0, spread, numel)), -128, 127).astype(np.int16) + 128
    exponents[:2] = 0, 255
    plane, coded = coded_exponents(exponents.astype(np.uint16) << 7)
    assert native(coded, numel) == plane
    assert decode_adaptive_plane(coded, numel).tobytes() == plane
    counts = np.unique(exponents, return_counts=True)[1]
    entropy_nbytes = -(counts * np.log2(counts / numel)).sum() / 8
    assert len(coded) < 1.03 * entropy_nbytes + numel / 150 + 60  # what it takes to learn, and to stay ready for more


def test_decoders_agree_on_any_bytes() -> None:
    """Every stream means something: whatever the bytes, both decoders see the same plane or refuse."""
    rng = np.random.default_rng(9)
    for nbytes in [0, 1, 3, 4, 5, *rng.integers(6, 300, 30)]:
        coded = bytes(rng.choice([0, 1, 127, 255, *rng.bytes(4)], nbytes).astype(np.uint8))
        for numel in (1, 7, 300):
            try:
                expected: bytes | int = decode_adaptive_plane(coded, numel).tobytes()
            except CorruptContainer:
                expected = TOO_LONG
            assert native(coded, numel) == expected


@pytest.mark.parametrize("numels", [(MAX_NUMEL,), (MAX_NUMEL + 1,), (MAX_NUMEL, 1), (MAX_NUMEL // 2,) * 3, (3, 4, 5)])
def test_too_many_elements_in_a_chunk_are_refused(numels: tuple[int, ...]) -> None:
    """By their number, before anything is decoded: what a chunk may cost is bounded whatever its frames say."""
    payload, out = payload_of(*(frame_of(b"", numel) for numel in numels)), bytearray(sum(numels))
    fault = _core.decode_payload(payload, out)
    if sum(numels) > MAX_NUMEL:
        assert fault is not None
        assert fault[1] == TOO_LONG
        with pytest.raises(CorruptContainer, match="elements of adaptive planes"):
            decode_chunk(payload, len(out), False, lambda *_: None)
    else:
        assert fault is None
        assert bytes(out) == decode_chunk(payload, len(out), False, lambda *_: None)


def test_bytes_left_over_are_refused() -> None:
    """A stream may end early, but not late."""
    plane, coded = coded_exponents(np.arange(500, dtype=np.uint16) % 3 << 7)
    assert native(coded + bytes(3), 500) in (plane, TOO_LONG)
    assert native(coded + bytes(5), 500) == TOO_LONG
    with pytest.raises(CorruptContainer, match="adaptive"):
        decode_adaptive_plane(coded + bytes(5), 500)


def plane_codecs(container: bytes) -> set[int]:
    """Codecs of all planes of all chunks."""
    reader = ContainerReader(BytesSource(container))
    found = set()
    for chunk in range(reader.chunk_count):
        record, data = reader.read_record(chunk)
        stored = data[RECORD_NBYTES:]
        plain = inflate(stored, record.nbytes, chunk) if record.flags & ZSTD_FLAG else stored
        found |= {plane.codec for frame in frames.parse_payload(plain).frames for plane in frame.planes}
    return found


SMALL = safetensors([("F32", values("normal", "F32", 40, seed)) for seed in range(60)])


def test_small_tensors_are_coded_adaptively() -> None:
    """A file of small tensors has such planes, and both decoders read it."""
    container = encode(SMALL, sha256=True)
    assert frames.ADAPTIVE in plane_codecs(container)
    assert decode(container) == decode_container(container) == SMALL


@pytest.mark.parametrize(
    "data",
    [SMALL[:300], SMALL + bytes(CHUNK_NBYTES), safetensors([("BF16", values("normal", "BF16", 100_000))])],
    ids=["text", "two chunks", "one large tensor"],
)
def test_other_files_have_none(data: bytes) -> None:
    """Where there is nothing to gain, and in files that are read in parts."""
    container = encode(data)
    assert frames.ADAPTIVE not in plane_codecs(container)


def test_version_in_the_header_is_not_held_against_a_plane() -> None:
    """FORMAT.md, 7.2: never written, always read."""
    container = Parts(Parts.of(encode(SMALL)).records).container()
    assert ContainerReader(BytesSource(container)).version == 1
    assert decode(container) == decode_container(container) == SMALL
