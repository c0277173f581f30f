"""Every instruction set this machine has writes the same bytes, reads the others' and computes the same checksums."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import google_crc32c
import numpy as np
import pytest

from freebits_codecs import _core
from freebits_codecs.container.frames import parse_payload
from freebits_codecs.container.records import RECORD_NBYTES, Record
from freebits_codecs.formats import Extent
from freebits_codecs.planner import LAYOUTS, ExtentArrays
from freebits_codecs.testing import MIXES, safetensors, values

ISAS = _core.available_isas()
CHUNK_NBYTES = 1 << 20
DTYPE_OF_LAYOUT = ("U8", *LAYOUTS[1:7], "I16", "I32", "I64")
NUMELS = (1, 63, 65, 4097, 70_001)


def records(data: bytes, extents: list[Extent], isa: str, threads: int = 1, offset: int = 0) -> bytes:
    """The chunk records of `data`, which lies at `offset`, as one instruction set writes them."""
    arrays = ExtentArrays.of(extents)
    sink = _core.OutputBuffer(_core.records_bound(len(data), CHUNK_NBYTES))
    _core.encode_records(
        sink, data, offset, CHUNK_NBYTES, arrays.starts, arrays.stops, arrays.layouts, threads=threads, isa=isa
    )
    return sink.take()


def scattered(nbytes: int) -> tuple[bytes, list[Extent]]:
    """BF16 tensors of two scales in turns, which get frames of their own in every chunk, and where they lie."""
    numel = 40_000
    kinds = [
        values("normal", "BF16", numel),
        (np.frombuffer(values("normal", "BF16", numel), "<u2") ^ 0x2000).tobytes(),
    ]
    count = nbytes // (2 * numel)
    return b"".join(kinds[i % 2] for i in range(count)), [
        Extent("BF16", 2 * numel * i, 2 * numel * (i + 1)) for i in range(count)
    ]


def decoded(stored: bytes, nbytes: int, isa: str) -> bytes:
    """The bytes of one record, as one instruction set reads it."""
    out, zero = bytearray(nbytes), np.zeros(1, np.uint64)
    assert _core.decode_records(stored, zero, out, zero, isa=isa) is None
    return bytes(out)


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("dtype", DTYPE_OF_LAYOUT)
def test_all_write_the_same_and_read_each_other(dtype: str, mix: str) -> None:
    """Every layout and kind of value, at lengths around lanes and tiles and with two streams."""
    for numel in NUMELS:
        content = values(mix, dtype, numel)
        data = b"odd" + content
        written = {isa: records(data, [Extent(dtype, 3, len(data))], isa) for isa in ISAS}
        assert len(set(written.values())) == 1
        assert all(decoded(written["scalar"], len(data), isa) == data for isa in ISAS)


@pytest.mark.parametrize("mix", ["normal", "peaked", "changing"])
def test_four_streams_agree(mix: str) -> None:
    """Planes long enough for four streams, their last group cut."""
    data = values(mix, "BF16", 300_001)
    written = {isa: records(data, [Extent("BF16", 0, len(data))], isa) for isa in ISAS}
    assert len(set(written.values())) == 1
    assert all(decoded(written["scalar"], len(data), isa) == data for isa in ISAS)


@pytest.mark.parametrize("nbytes", [5 << 20, 20 << 20])
def test_records_are_the_same_by_one_thread_and_three(nbytes: int) -> None:
    """Below and above the size from which copies go around the cache, and are left to the coder of the next chunk."""
    data, extents = scattered(nbytes)
    written = {(isa, threads): records(data, extents, isa, threads) for isa in ISAS for threads in (1, 3)}
    assert len(set(written.values())) == 1
    stored = written["scalar", 1]
    starts, at = [], 0
    while at < len(stored):
        starts.append(at)
        payload_at = at + RECORD_NBYTES
        at = payload_at + Record.parse(stored[at:payload_at], at, CHUNK_NBYTES, len(starts) - 1).stored_nbytes
        assert len(parse_payload(stored[payload_at:at]).runs) > 2
    offsets, places = np.array(starts, np.uint64), np.arange(len(starts), dtype=np.uint64) * np.uint64(CHUNK_NBYTES)
    for isa, threads in itertools.product(ISAS, (1, 3)):
        out = bytearray(len(data))
        assert _core.decode_records(stored, offsets, out, places, threads=threads, isa=isa) is None
        assert out == data


def unlike_chunks() -> tuple[bytes, list[Extent]]:
    """Chunks whose payloads end in one stream, in four, in another layout's or in none, or are given up as bytes."""
    rng = np.random.default_rng(4)
    noise, half = rng.bytes(CHUNK_NBYTES), CHUNK_NBYTES // 2
    wide = (rng.integers(60, 120, 40_000, np.uint16) << 7 | rng.integers(0, 128, 40_000, np.uint16)).tobytes()
    tiny = [Extent("I16", 6 * i, 6 * i + 4) for i in range(4000)]  # their places cost more than `wide` saves
    kinds = [
        (values("normal", "BF16", half), [Extent("BF16", 0, CHUNK_NBYTES)]),
        (noise[: -len(wide)] + wide, [*tiny, Extent("BF16", CHUNK_NBYTES - len(wide), CHUNK_NBYTES)]),
        (values("normal", "F32", half // 2), [Extent("F32", 0, CHUNK_NBYTES)]),
        (noise, []),
        (values("peaked", "I16", half), [Extent("I16", 2, CHUNK_NBYTES)]),
        (noise[:half] + values("normal", "BF16", half // 2), [Extent("BF16", half, half + 2000)]),
        (bytes(CHUNK_NBYTES), [Extent("BF16", 0, half), Extent("F32", half, CHUNK_NBYTES)]),
    ]
    order = rng.integers(0, len(kinds), 24)
    extents = [
        Extent(each.dtype, each.start + CHUNK_NBYTES * i, each.stop + CHUNK_NBYTES * i)
        for i, kind in enumerate(order)
        for each in kinds[kind][1]
    ]
    return b"".join(kinds[kind][0] for kind in order), extents


def test_records_are_the_same_whatever_comes_before_them() -> None:
    """Payloads that are moved in pieces while the next one is coded, against those of chunks that are encoded alone."""
    data, extents = unlike_chunks()
    alone = []
    for start in range(0, len(data), CHUNK_NBYTES):
        inside = [e for e in extents if start <= e.start < start + CHUNK_NBYTES]
        alone.append(records(data[start : start + CHUNK_NBYTES], inside, "scalar", offset=start))
        assert len(inside) < 4000 or len(alone[-1]) > CHUNK_NBYTES
    layouts = {parse_payload(record[RECORD_NBYTES:]).frames[-1].layout for record in alone}
    assert layouts == {"BF16", "F32", "int16", "bytes"}
    for isa, threads in itertools.product(ISAS, (1, 3)):
        assert records(data, extents, isa, threads) == b"".join(alone)


def test_checksum_is_crc32c() -> None:
    """Every length around the steps of the kernels, at every alignment, against Google's implementation."""
    data = np.random.default_rng(1).bytes(70_000)
    lengths = [*range(300), *(edge + d for edge in (512, 768, 1024, 3072, 6144, 65536) for d in (-1, 0, 1, 7))]
    for isa, nbytes in itertools.product(ISAS, lengths):
        piece = memoryview(data)[nbytes % 64 : nbytes % 64 + nbytes]
        assert _core.crc32c(piece, isa=isa) == google_crc32c.value(bytes(piece))


def test_checksum_continues() -> None:
    """A checksum over pieces is that of the whole, wherever the cuts are."""
    data = np.random.default_rng(2).bytes(5000)
    for isa, cut in itertools.product(ISAS, (0, 1, 511, 513, 4999, 5000)):
        assert _core.crc32c(data[cut:], _core.crc32c(data[:cut], isa=isa), isa=isa) == google_crc32c.value(data)


def test_bytes_are_grouped_and_come_back_in_order() -> None:
    """Every length modulo 4, around the vectors of the kernels."""
    data = np.random.default_rng(3).bytes(200_000)
    for isa, nbytes in itertools.product(ISAS, [*range(300), *range(65530, 65540), 131072, 199_999]):
        piece = data[:nbytes]
        grouped = b"".join(piece[start::4] for start in range(4))
        assert _core.group4(piece, isa=isa) == grouped
        assert _core.ungroup4(grouped, isa=isa) == piece


PRINT_CONTAINER = (
    "import sys; from freebits_codecs import encode; sys.stdout.buffer.write(encode(sys.stdin.buffer.read()))"
)


def container_under(isa: str, data: bytes) -> subprocess.CompletedProcess[bytes]:
    """Encode in a fresh process that is told which instruction set to use."""
    command = [sys.executable, "-c", PRINT_CONTAINER]
    environment = {**os.environ, "FREEBITS_ISA": isa}
    return subprocess.run(command, input=data, env=environment, capture_output=True, check=False)


def test_environment_chooses_the_instruction_set() -> None:
    """FREEBITS_ISA forces each one for a whole process; containers are the same."""
    data = safetensors([(dtype, values("normal", dtype, 3000)) for dtype in ("BF16", "F32", "F16")])
    runs = [container_under(isa, data) for isa in ISAS]
    assert all(run.returncode == 0 for run in runs)
    assert len({run.stdout for run in runs}) == 1


def test_unknown_instruction_set_is_refused_by_name() -> None:
    """The message says what was asked for and what there is."""
    run = container_under("altivec", b"data")
    assert run.returncode != 0
    assert b"altivec" in run.stderr
    assert b"scalar" in run.stderr
    with pytest.raises(ValueError, match="altivec"):
        _core.crc32c(b"", isa="altivec")
