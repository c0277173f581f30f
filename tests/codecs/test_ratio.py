"""How small: against zstd, ZipNN, the entropy of the exponents, and another library's entropy coder.

FREEBITS_WEIGHTS names a folder of more weights to measure.
"""

from __future__ import annotations

import io
import math
import os
import warnings
from functools import cache
from pathlib import Path

import constriction
import numpy as np
import pytest
import zstandard

from freebits_codecs import BytesSource, ContainerReader, encode
from freebits_codecs.container.ending import FOOTER_NBYTES
from freebits_codecs.container.frames import RANS, parse_payload
from freebits_codecs.container.records import CHUNK_NBYTES, HEADER_NBYTES, RECORD_NBYTES
from freebits_codecs.dtype import DTYPES
from freebits_codecs.formats import FileLayout, read_layout
from freebits_codecs.testing import safetensors, values

REAL_FOLDER = Path(__file__).parents[1] / "data"
FOLDERS = [REAL_FOLDER, *(Path(folder) for folder in [os.environ.get("FREEBITS_WEIGHTS")] if folder)]
FRAME_HEADERS_NBYTES = 16
"""Layout, length and codecs of the frames of a chunk that is mostly bytes."""

SUFFIXES = {".safetensors", ".pth", ".pt", ".bin", ".hdf5", ".zip", ".tflite"}
FILES = sorted(path for folder in FOLDERS for path in folder.rglob("*") if path.suffix in SUFFIXES)

weights = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


@cache
def stored_nbytes(path: Path) -> int:
    return len(encode(path.read_bytes()))


def overhead(nbytes: int) -> int:
    """Bytes of a container that are not payload."""
    chunks = -(-nbytes // CHUNK_NBYTES)
    return HEADER_NBYTES + RECORD_NBYTES + FOOTER_NBYTES + chunks * (RECORD_NBYTES + 4 + FRAME_HEADERS_NBYTES)


@weights
def test_no_larger_than_zstd_19(path: Path) -> None:
    """Every file, the container's own bytes included."""
    assert stored_nbytes(path) <= len(zstandard.compress(path.read_bytes(), 19))


def exponent_entropy(words: bytes, dtype: str) -> tuple[int, float]:
    """(elements, order-0 entropy of their exponents in bits each)."""
    facts = DTYPES[dtype]
    bits = np.frombuffer(words, f"<u{facts.itemsize}").astype(np.uint64)
    exponents = bits >> np.uint64(facts.mantissa_bits) & np.uint64((1 << facts.exponent_bits) - 1)
    counts = np.bincount(exponents.astype(np.intp))
    shares = counts[counts > 0] / max(len(bits), 1)
    return len(bits), float(-(shares * np.log2(shares)).sum())


def order0_nbytes(data: bytes, layout: FileLayout) -> int:
    """The file with the exponents of every float tensor at their entropy and all else as it is."""
    saved = 0.0
    for start, stop, dtype in {(t.start, t.stop, t.dtype) for t in layout.tensors if DTYPES[t.dtype].is_float}:
        numel, entropy = exponent_entropy(data[start:stop], dtype)
        saved += numel * (DTYPES[dtype].exponent_bits - entropy) / 8
    return math.ceil(len(data) - saved)


def float_share(data: bytes, layout: FileLayout | None) -> float:
    """Part of the file that is BF16 or F32 tensors."""
    extents = layout.extents if layout else ()
    return sum(e.stop - e.start for e in extents if e.dtype in {"BF16", "F32"}) / len(data)


@weights
def test_near_the_entropy_of_the_exponents(path: Path) -> None:
    """BF16 and F32 checkpoints: within 0.3 % of every tensor's exponents at their own entropy."""
    data = path.read_bytes()
    layout = read_layout(io.BytesIO(data))
    if layout is None or float_share(data, layout) < 0.9:
        pytest.skip("not a checkpoint of BF16 or F32")
    assert stored_nbytes(path) <= 1.003 * order0_nbytes(data, layout) + overhead(len(data))


@weights
def test_no_larger_than_zipnn(path: Path) -> None:
    """ZipNN told the dtype most of the file has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zipnn = pytest.importorskip("zipnn")
    data = path.read_bytes()
    layout = read_layout(io.BytesIO(data))
    held = {"BF16": 0, "F16": 0, "F32": 0}
    for extent in layout.extents if layout else ():
        held[extent.dtype] = held.get(extent.dtype, 0) + extent.stop - extent.start
    dtype = max(("BF16", "F16", "F32"), key=lambda name: held[name])
    if not held[dtype]:
        pytest.skip("no floats that ZipNN knows")
    name = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}[dtype]
    items = len(data) // 4 * 4  # it writes past its buffers for an odd tail
    packed = zipnn.ZipNN(bytearray_dtype=name, input_format="byte").compress(bytearray(data[:items]))
    assert stored_nbytes(path) <= len(packed) + len(data) - items


def coded_exponents_nbytes(container: bytes) -> int:
    """Bytes of the rANS-coded exponent planes of a container."""
    reader = ContainerReader(BytesSource(container))
    total = 0
    for chunk in range(reader.chunk_count):
        record, stored = reader.read_record(chunk)
        assert not record.flags
        for frame in parse_payload(stored[RECORD_NBYTES:]).frames:
            exponents = [plane for plane in frame.planes if plane.name == "exponent"]
            assert all(plane.codec == RANS for plane in exponents)
            total += sum(plane.stop - plane.start for plane in exponents)
    return total


@pytest.mark.parametrize("scale", [1.0, 0.02])
def test_entropy_coder_against_constriction(scale: float) -> None:
    """The same exponents through constriction's ANS with their exact distribution: ours is at most 1.5 % longer."""
    numel = 3 * CHUNK_NBYTES // 2 - 1000
    floats = (np.random.default_rng(21).normal(0, scale, numel)).astype(np.float32)
    words = (floats.view(np.uint32) >> 16).astype("<u2")
    exponents = (words >> 7 & 0xFF).astype(np.int32)
    used, symbols = np.unique(exponents, return_inverse=True)
    counts = np.bincount(symbols)
    model = constriction.stream.model.Categorical(counts / counts.sum(), perfect=False)
    coder = constriction.stream.stack.AnsCoder()
    coder.encode_reverse(symbols.astype(np.int32), model)
    ours = coded_exponents_nbytes(encode(safetensors([("BF16", words.tobytes())])))
    entropy_nbytes = numel * exponent_entropy(words.tobytes(), "BF16")[1] / 8
    assert entropy_nbytes <= coder.num_valid_bits() / 8 <= 1.001 * entropy_nbytes
    assert coder.num_valid_bits() / 8 <= ours <= 1.015 * coder.num_valid_bits() / 8
    assert len(used) > 10


@pytest.mark.parametrize("dtype", ["BF16", "F32", "F16"])
def test_random_weights_shrink_as_their_exponents_allow(dtype: str) -> None:
    """A plain tensor of normal weights, no luck in it."""
    data = safetensors([(dtype, values("normal", dtype, 400_000))])
    layout = read_layout(io.BytesIO(data))
    assert layout is not None
    assert len(encode(data)) <= 1.003 * order0_nbytes(data, layout)
