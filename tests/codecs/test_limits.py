"""One test per refusal of a declared size: refused by name, with the number that was found, before it is believed."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import zstandard

from freebits_codecs import BytesSource, ContainerReader, _core, decode, decode_file, encode
from freebits_codecs.container import stream
from freebits_codecs.container.records import MAX_CHUNKS, VERSION, ZSTD_FLAG, Header
from freebits_codecs.container.writer import ContainerWriter
from freebits_codecs.errors import CorruptContainer, LimitExceeded, TruncatedContainer, UnsupportedFormat
from freebits_codecs.testing import Parts, RecordParts

CHUNK_NBYTES = 4096
HUGE = b"\xff\xff\xff\xff\x0f"
"""The varint of 2^32 - 1."""


def stored_raw(data: bytes) -> RecordParts:
    """A chunk of less than 16 KiB as one raw frame."""
    return RecordParts(len(data), b"\0\0" + bytes((len(data) & 0x7F | 0x80, len(data) >> 7, 0)) + data)


def three_chunks() -> Parts:
    """A container without a fault, of chunks of 4 KiB."""
    data = np.random.default_rng(1).bytes(3 * CHUNK_NBYTES)
    records = [stored_raw(data[at : at + CHUNK_NBYTES]) for at in range(0, len(data), CHUNK_NBYTES)]
    return Parts(records, chunk_nbytes=CHUNK_NBYTES)


def decode_stream(container: bytes) -> bytes:
    """Front to back, as from a pipe."""
    out = io.BytesIO()
    decode_file(io.BytesIO(container), out)
    return out.getvalue()


both_ways = pytest.mark.parametrize("read", [decode, decode_stream])
Read = Callable[[bytes], bytes]


def one_chunk(payload: bytes, nbytes: int = 64, flags: int = 0) -> bytes:
    """A container of one chunk with this payload."""
    return Parts([RecordParts(nbytes, payload, flags)]).container()


@both_ways
@pytest.mark.parametrize("log2", [0, 11, 25, 63])
def test_chunk_size_outside_4_kib_to_16_mib(read: Read, log2: int) -> None:
    """The header may ask for chunks of 2^12 to 2^24 bytes."""
    container = Header(1 << log2).pack() + three_chunks().container()[16:]
    with pytest.raises(LimitExceeded, match=f"log2 of the chunk size is {log2}"):
        read(container)


@both_ways
def test_newer_version(read: Read) -> None:
    """A version that this library does not know is told apart from damage."""
    header = bytearray(Header().pack())
    header[8] = VERSION + 1
    header[12:] = _core.crc32c(header[:12]).to_bytes(4, "little")
    with pytest.raises(UnsupportedFormat, match=f"version {VERSION + 1} exceeds supported {VERSION}"):
        read(bytes(header) + encode(b"")[16:])


def test_chunk_count_over_the_limit() -> None:
    """The footer may name 2^28 chunks; more are refused without looking for their index."""
    with pytest.raises(LimitExceeded, match=f"chunk count is {MAX_CHUNKS + 1}"):
        decode(three_chunks().container(chunk_count=MAX_CHUNKS + 1))


def test_endless_stream_of_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream is not followed beyond the limit of chunks."""
    monkeypatch.setattr(stream, "MAX_CHUNKS", 2)
    with pytest.raises(LimitExceeded, match="chunk count is 3, the limit is 2"):
        decode_stream(three_chunks().container())


@both_ways
def test_stored_length_over_the_chunk_length(read: Read) -> None:
    """A payload is at most 64 bytes longer than what it decodes to."""
    container = one_chunk(bytes(200), nbytes=135)
    with pytest.raises(LimitExceeded, match="stored length of chunk 0 is 200, the limit is 199"):
        read(container)


@both_ways
@pytest.mark.parametrize("nbytes", [0, CHUNK_NBYTES + 1, 2**32 - 1])
def test_decoded_length_of_none_or_more_than_a_chunk(read: Read, nbytes: int) -> None:
    """A chunk holds 1 byte to the chunk size."""
    parts = Parts([RecordParts(nbytes, b"\0")], chunk_nbytes=CHUNK_NBYTES)
    with pytest.raises(CorruptContainer, match=f"(decoded length|chunk count).*found {nbytes}|chunk count"):
        read(parts.container())


@both_ways
@pytest.mark.parametrize("fact", ["chunk_count", "nbytes", "index_offset"])
@pytest.mark.parametrize("lie", [-1, 1, CHUNK_NBYTES])
def test_footer_that_lies(read: Read, fact: str, lie: int) -> None:
    """Chunk count, length and index offset must be those of the records."""
    parts = three_chunks()
    honest = ContainerReader(BytesSource(parts.container()))
    facts = {
        "chunk_count": honest.chunk_count,
        "nbytes": honest.nbytes,
        "index_offset": honest.stored_range(honest.chunk_count - 1)[1],
    }
    with pytest.raises((CorruptContainer, TruncatedContainer), match=r"found .* expected"):
        read(parts.container(**{fact: facts[fact] + lie}))


@both_ways
@pytest.mark.parametrize("fact", ["nbytes", "index_offset"])
def test_footer_of_16_exabytes(read: Read, fact: str) -> None:
    """The largest numbers the footer can hold are compared, not allocated."""
    with pytest.raises(CorruptContainer, match="found"):
        read(three_chunks().container(**{fact: 2**64 - 1}))


@both_ways
@pytest.mark.parametrize("change", [-1, 1])
def test_index_of_other_lengths(read: Read, change: int) -> None:
    """The index must list the lengths of the records."""
    parts = three_chunks()
    lengths = [len(record.payload) for record in parts.records]
    lengths[0] += change
    lengths[1] -= change
    with pytest.raises(CorruptContainer, match=r"stored length|index"):
        read(parts.container(stored_nbytes=lengths))


@both_ways
@pytest.mark.parametrize("entries", [0, 2, 4, 1000])
def test_index_of_another_length(read: Read, entries: int) -> None:
    """The index must have an entry for each chunk."""
    with pytest.raises(CorruptContainer, match="index"):
        read(three_chunks().container(stored_nbytes=[4101] * entries))


@both_ways
def test_chunk_after_a_short_one(read: Read) -> None:
    """Only the last chunk may be short."""
    parts = three_chunks()
    parts.records.insert(1, stored_raw(b"short"))
    with pytest.raises(CorruptContainer, match=r"length|short chunk"):
        read(parts.container())


def zstd_frame(content: bytes, declared: int) -> bytes:
    """A zstd frame of `content` and 70,000 zeros whose header declares another size."""
    frame = zstandard.compress(content + bytes(70_000))
    assert frame[4] & 0xE0 == 0xA0, "a single segment, its size in four bytes"
    return frame[:5] + declared.to_bytes(4, "little") + frame[9:]


@both_ways
def test_zstd_content_over_the_limit(read: Read) -> None:
    """A bomb is refused by its declared size."""
    bomb = zstandard.compress(bytes(1 << 30))[:64]
    with pytest.raises(LimitExceeded, match="zstd content of chunk 0 is 1073741824, the limit is 128"):
        read(one_chunk(bomb, flags=ZSTD_FLAG))


@both_ways
@pytest.mark.parametrize("declared", [0, 1, 69_999, 70_065])
def test_zstd_content_size_that_lies(read: Read, declared: int) -> None:
    """A frame that holds more or fewer bytes than it declares."""
    with pytest.raises(CorruptContainer, match=r"zstd payload|payload ends early"):
        read(one_chunk(zstd_frame(b"\0", declared), nbytes=70_001, flags=ZSTD_FLAG))


@both_ways
def test_zstd_without_content_size(read: Read) -> None:
    """Nothing is inflated that does not say how large it is."""
    packed = zstandard.ZstdCompressor(write_content_size=False).compress(b"\0\0\1\0x")
    with pytest.raises(CorruptContainer, match="zstd content size: found none"):
        read(one_chunk(packed, flags=ZSTD_FLAG))


@both_ways
def test_frame_of_four_billion_elements(read: Read) -> None:
    """The number of elements is compared with the room before a plane is looked at, for every layout."""
    for layout in range(10):
        with pytest.raises(CorruptContainer, match=r"bytes of frames.*found \d{10,}, expected 64"):
            read(one_chunk(b"\0" + bytes((layout,)) + HUGE + b"\1" * 8 + bytes(8)))


@both_ways
def test_number_of_more_than_32_bits(read: Read) -> None:
    """Varints end after five bytes and 32 bits."""
    for number in (b"\xff\xff\xff\xff\x10", b"\x80\x80\x80\x80\x80\x00"):
        with pytest.raises(CorruptContainer, match="more than 32 bits"):
            read(one_chunk(b"\0\0" + number + b"\1\0"))


@both_ways
def test_more_runs_than_bytes(read: Read) -> None:
    """A run takes two bytes at least; eight thousand of them do not fit sixty."""
    with pytest.raises(CorruptContainer, match=r"payload ends early.*expected 16386"):
        read(one_chunk(b"\x81\x40" + bytes(60)))


@both_ways
def test_more_runs_than_a_chunk_can_have(read: Read) -> None:
    """Four billion runs are not made room for, nor one more than 8193."""
    for count in (HUGE, b"\x82\x40"):
        with pytest.raises(CorruptContainer, match=r"run count.*expected 8193"):
            read(one_chunk(count + bytes(60)))


def test_writer_refuses_chunks_no_reader_takes() -> None:
    """A chunk size must be a power of two from 4 KiB to 16 MiB."""
    for chunk_nbytes in (0, 1, 5000, 2048, 1 << 25):
        with pytest.raises(ValueError, match="power of two"):
            ContainerWriter(lambda piece: None, None, chunk_nbytes=chunk_nbytes)


def rans_plane(payload: bytes) -> bytes:
    """A payload of one frame of 64 bytes whose plane is this; its length in two bytes."""
    return b"\0\0\x40\2" + bytes((len(payload) & 0x7F | 0x80, len(payload) >> 7)) + payload


TWO_VALUES = b"\1\1\0" + b"\0\x0a\x0b\3\x80\x80"
"""One segment of one tile, with a model of two values."""


@both_ways
@pytest.mark.parametrize(
    ("plane", "message"),
    [
        (b"\3", "model.* found 3, expected 2"),
        (b"\0" + HUGE, "model.* found 4294967295, expected 1"),
        (b"\0\1" + HUGE + b"\0" + TWO_VALUES[3:], "model.* found 4294967295, expected 1"),
        (b"\0\1\1\0\0\x0a\x0b\3\x80\x7f", "model.* found 255, expected 256"),
        (b"\0\1\1\0\1\x0a\x0a\1\x80\x80" + HUGE, "escape count.* found 4294967295, expected 64"),
        (b"\0" + TWO_VALUES + HUGE, "payload ends early"),
        (b"\0" + TWO_VALUES + b"\0" + bytes(100), "payload ends early"),
    ],
    ids=["streams", "segments", "tiles", "frequencies", "escapes", "stream length", "states"],
)
def test_plane_that_declares_too_much(read: Read, plane: bytes, message: str) -> None:
    """Counts inside a rANS plane are bounded by what the plane can hold."""
    with pytest.raises(CorruptContainer, match=message):
        read(one_chunk(rans_plane(plane), nbytes=64 + 200))


@both_ways
def test_escape_values_nested_too_deep(read: Read) -> None:
    """Escape values may have escape values, and those none."""
    plane = b"\0\1\1\0\1\x0a\x0a\1\x80\x80\x40"
    deep = b""
    for _ in range(4):
        deep = rans_plane(plane + deep)[1:]
    with pytest.raises(CorruptContainer, match=r"nesting of escape values.* found 3"):
        read(one_chunk(b"\0" + deep, nbytes=64 + 200))


ENCODE_WITH_THREADS = """
import numpy as np
from freebits_codecs import decode, encode
data = np.random.default_rng(0).normal(0, 0.02, 4 << 20).astype(np.float32).tobytes()
assert decode(encode(data, threads=16), threads=16) == data
"""


def test_threads_that_cannot_be_had() -> None:
    """When the system gives no threads, the one there is does the work; the process does not end."""
    stack_too_large_to_map = 1 << 47
    command = f'ulimit -S -s {stack_too_large_to_map >> 10} && exec "$0" -c "$1"'
    if subprocess.run(["bash", "-c", command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("the hard limit of the stack is too low to make threads impossible")
    run = subprocess.run(
        ["bash", "-c", command, sys.executable, ENCODE_WITH_THREADS],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def test_output_buffer_is_not_longer_than_its_room() -> None:
    """A length beyond the capacity would let the core write past the end."""
    buffer = _core.OutputBuffer(10)
    with pytest.raises(ValueError, match="capacity"):
        buffer.length = 11
    assert buffer.length == 0


def test_refusing_takes_little_memory(refuse_in_little_memory: Callable[[Sequence[bytes]], None]) -> None:
    """Containers that declare gigabytes are refused in a process that may have 160 MiB more than it has."""
    nested = b"\0\1\1\0\1\x0a\x0a\1\x80\x80"
    hostile = [
        three_chunks().container(nbytes=2**40),
        three_chunks().container(chunk_count=MAX_CHUNKS, nbytes=MAX_CHUNKS * CHUNK_NBYTES),
        one_chunk(zstandard.compress(bytes(1 << 30))[:64], flags=ZSTD_FLAG),
        one_chunk(zstd_frame(b"\0", 2**32 - 300)[:70_000], nbytes=70_001, flags=ZSTD_FLAG),
        one_chunk(HUGE + bytes(100), nbytes=200),
        *(one_chunk(b"\0" + bytes((layout,)) + HUGE + b"\1" * 8) for layout in range(10)),
        one_chunk(rans_plane(b"\0" + HUGE)),
        one_chunk(rans_plane(nested + HUGE)),
        one_chunk(rans_plane(nested + b"\x40" + rans_plane(nested + HUGE)[1:]), nbytes=200),
        Parts([RecordParts(1 << 24, b"\0\0\x80\x80\x80\x08\2\xff\xff\xff\x07")], chunk_nbytes=1 << 24).container(),
    ]
    refuse_in_little_memory(hostile)


GENERATED_FILE = Path(__file__).parent / "generated_file.py"


def test_large_chunks_of_another_encoder_stream_in_bounded_memory(tmp_path: Path) -> None:
    """A stream of chunks of 16 MiB holds a few of them, not a batch of the usual number."""
    constant = RecordParts(1 << 24, b"\0\0\x80\x80\x80\x08\1\x2a")
    path = tmp_path / "large-chunks.fb"
    path.write_bytes(Parts([constant] * 40, chunk_nbytes=1 << 24).container())
    command = [sys.executable, str(GENERATED_FILE), "decode", "16"]
    with path.open("rb") as source:
        run = subprocess.run(command, stdin=source, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
    assert json.loads(run.stderr)["rss"] < 300 << 20
