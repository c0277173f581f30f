"""Sniffing: float data nobody labelled is seen, everything else is left alone."""

from __future__ import annotations

import lzma
import time
import zlib

import numpy as np
import pytest

from freebits_codecs.dtype import DTYPES
from freebits_codecs.formats import Guess, sniff
from freebits_codecs.formats.sniff import MAX_WINDOW_NBYTES, MIN_SAMPLE_NBYTES

RNG = np.random.default_rng(7)
ROWS = RNG.normal(size=(1024, 128)) * RNG.lognormal(-4, 0.5, size=(1024, 1))
ELEMENTS = {
    "F16": ROWS.astype("<f2").tobytes(),
    "BF16": (ROWS.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes(),
    "F32": ROWS.astype("<f4").tobytes(),
    "F64": ROWS.tobytes(),
}
TEXT = "".join(RNG.choice(["the ", "weights ", "of ", "a ", "network\n", "are ", "8.31 "], 40_000)).encode()


@pytest.mark.parametrize("dtype", ELEMENTS)
def test_float_data_at_every_phase(dtype):
    """Each type is recognised wherever in the window its first element starts."""
    for phase in range(DTYPES[dtype].itemsize):
        assert sniff(RNG.bytes(phase) + ELEMENTS[dtype]) == Guess(dtype, phase)


@pytest.mark.parametrize(("name", "dtype"), [("stories260K-head.bin", "F32"), ("realcugan-head.bin", "F16")])
def test_real_unlabelled_weights(real_files, name, dtype):
    """Raw weight files of two projects."""
    assert sniff((real_files / name).read_bytes()) == Guess(dtype, 0)


@pytest.mark.parametrize(
    "content",
    [
        bytes(1 << 20),
        b"\1\0\0\0" * 100_000,
        RNG.bytes(1 << 20),
        TEXT,
        zlib.compress(ELEMENTS["F32"]),
        lzma.compress(ELEMENTS["BF16"]),
        RNG.integers(-128, 127, 1 << 18, np.int8).tobytes(),
        (RNG.normal(size=1 << 18) * 20).astype(np.int8).tobytes(),
        RNG.integers(0, 32_000, 1 << 16, np.int32).tobytes(),
        np.arange(1 << 17, dtype=np.int64).tobytes(),
        ELEMENTS["F32"][: MIN_SAMPLE_NBYTES - 8],
        b"",
    ],
    ids=[
        "zeros",
        "ones",
        "random",
        "text",
        "deflated",
        "lzma",
        "int8",
        "int8 weights",
        "tokens",
        "range",
        "short",
        "empty",
    ],
)
def test_everything_else(content):
    """Zeros, noise, text, compressed data, integers, and too few bytes to tell."""
    assert sniff(content) is None


def test_real_int8_model(real_files):
    """A quantised tflite file."""
    assert sniff((real_files / "resnet-quant.tflite").read_bytes()) is None


def test_any_kind_of_buffer():
    """bytes, memoryview and arrays give one answer; only the first MiB is looked at."""
    data = (RNG.normal(size=MAX_WINDOW_NBYTES // 4) * 0.02).astype("<f4").tobytes()
    expected = Guess("F32", 0)
    assert (
        sniff(memoryview(data)) == sniff(np.frombuffer(data, np.uint8)) == sniff(bytearray(data)) == expected
    )
    assert sniff(data + bytes(1 << 20)) == expected


def test_cost():
    """A window takes a millisecond or so, since only a sample is counted (ten times that is allowed here)."""
    window = ELEMENTS["F64"]
    sniff(window)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        sniff(window)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.015
