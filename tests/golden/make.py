"""Write the golden containers of the current format version: `python tests/golden/make.py`, once per version.

Refuses to touch a version that is there: golden files are what old readers and writers left behind. Each input is
made from fixed seeds; what counts afterwards is the stored container and the SHA-256 of what it decodes to.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from freebits_codecs.container.records import BARE, VERSION
from freebits_codecs.container.writer import ContainerWriter
from freebits_codecs.dtype import DTYPES
from freebits_codecs.formats import Extent, read_layout
from freebits_codecs.planner import ExtentArrays
from freebits_codecs.testing import Parts, RecordParts

GOLDEN = Path(__file__).parent
REAL_FILE = GOLDEN.parent / "data" / "formats" / "many-tiny-tensors.safetensors"
NUMEL = 5003
"""Elements of an ordinary case: a whole tile, part of another, part of a group."""


@dataclass(frozen=True)
class Case:
    """An input and how it is encoded. `extents` None: as the file's own directory says."""

    name: str
    covers: str
    data: bytes
    extents: Sequence[Extent] | None = ()
    chunk_nbytes: int = 1 << 20
    sha256: bool = True
    payload: bytes = b""
    """Of the only chunk, instead of the one that the encoder would make."""


def rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def normal(numel: int, seed: int, scale: float = 0.02) -> NDArray[np.float64]:
    return rng(seed).standard_normal(numel) * scale


def as_bf16(values: NDArray[np.float64]) -> bytes:
    return (values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()


def powers(exponents: NDArray[np.integer]) -> bytes:
    """BF16 values with these exponent fields and no mantissa: the other plane is constant."""
    return (exponents.astype("<u2") << 7).astype("<u2").tobytes()


def whole(name: str, covers: str, dtype: str, data: bytes, **how: int) -> Case:
    """All of the input is one tensor."""
    return Case(name, covers, data, [Extent(dtype, 0, len(data))], **how)


def f8(numel: int, mantissa_bits: int, seed: int) -> bytes:
    """Bytes that are distributed like FP8 weights: random signs and mantissas, peaked exponents."""
    exponent = 12 - np.minimum(rng(seed).geometric(0.5, numel), 12)
    sign_mantissa = rng(seed + 1).integers(0, 2 << mantissa_bits, numel)
    sign, mantissa = sign_mantissa & 1, sign_mantissa >> 1
    return (sign << 7 | exponent << mantissa_bits | mantissa).astype("u1").tobytes()


def layouts() -> list[Case]:
    data = {
        "BF16": as_bf16(normal(NUMEL, 1)),
        "F16": normal(NUMEL, 2).astype("<f2").tobytes(),
        "F32": normal(NUMEL, 3).astype("<f4").tobytes(),
        "F64": normal(NUMEL, 4).astype("<f8").tobytes(),
        "F8_E4M3": f8(NUMEL, 3, 5),
        "F8_E5M2": f8(NUMEL, 2, 7),
        "I16": normal(NUMEL, 9, 700).astype("<i2").tobytes(),
        "I32": normal(NUMEL, 10, 3e5).astype("<i4").tobytes(),
        "I64": normal(NUMEL, 11, 2e8).astype("<i8").tobytes(),
    }
    return [whole(f"layout-{dtype.lower()}", "the layout", dtype, bytes_) for dtype, bytes_ in data.items()]


def special_values() -> list[Case]:
    """Bit patterns from end to end, between ordinary weights that keep the layout worth its while."""
    patterns = np.arange(0, 1 << 16, 17, dtype="<u2")
    wide = patterns.astype("<u8") << 48 | np.arange(len(patterns), dtype="<u8")
    every_byte = np.arange(256, dtype="u1").tobytes()
    data = {
        "BF16": as_bf16(normal(12_000, 30)) + patterns.tobytes(),
        "F16": normal(12_000, 31).astype("<f2").tobytes() + patterns.tobytes(),
        "F32": (wide >> 32).astype("<u4").tobytes(),
        "F64": wide.tobytes(),
        "F8_E4M3": f8(4000, 3, 32) + every_byte,
        "F8_E5M2": f8(4000, 2, 34) + every_byte,
    }
    covers = "NaN payloads, infinities, denormals, both zeros"
    return [whole(f"special-{dtype.lower()}", covers, dtype, bytes_) for dtype, bytes_ in data.items()]


def rans() -> list[Case]:
    e5m2 = (60 + rng(40).geometric(0.8, (1 << 18) + 1) * 4).astype("u1")
    rare = np.where(rng(41).random(40_000) < 0.02, rng(42).integers(0, 256, 40_000), 120)
    steep = np.where(rng(43).random(60_000) < 0.3, rng(44).geometric(0.04, 60_000) % 256, 0)
    scales = np.repeat([30, 60, 90, 30, 120, 150, 60, 180], 3 * 4096) + rng(45).geometric(0.5, 8 * 3 * 4096)
    return [
        whole("streams-2", "two streams", "F8_E5M2", e5m2[: (1 << 16) + 129].tobytes()),
        whole("streams-4", "four streams, a last group of one element", "F8_E5M2", e5m2.tobytes()),
        whole("escapes", "escape values", "BF16", powers(rare)),
        whole("escapes-nested", "escape values that have escape values", "BF16", powers(steep)),
        whole("models", "several models, some of them twice", "BF16", powers(scales)),
    ]


def chunks() -> list[Case]:
    text = b" ".join(b"layers.%d.attention.weight" % (i * i % 41) for i in range(400))
    counters = np.arange(3000, dtype="<i4").tobytes()
    weights = b"{}" + b"\n" * 5 + as_bf16(normal(7000, 20))
    mixed = text[:1000] + normal(700, 21).astype("<f4").tobytes() + text[:333] + as_bf16(normal(900, 22)) + b"end"
    drifting = as_bf16(normal(6000, 25) * np.exp2(np.arange(6000) // 100 % 17))
    extents = [Extent("F32", 1000, 3800), Extent("BF16", 4133, 5933)]
    return [
        Case("empty", "no chunk", b""),
        Case("one-byte", "the smallest chunk", b"\x00"),
        Case("noise", "a raw frame", rng(23).bytes(3000)),
        Case("zstd", "zstd around frames", text),
        whole("zstd-planes", "zstd around uncoded planes", "I32", counters),
        Case("runs", "a run list, frames of three layouts", mixed, extents),
        Case("chunks", "elements across chunks", weights, [Extent("BF16", 7, len(weights))], 4096),
        whole("chunks-full", "a last chunk that is full", "BF16", as_bf16(normal(4096, 24)), chunk_nbytes=4096),
        whole("chunk-log2-24", "the largest chunk size", "F32", bytes(4000), chunk_nbytes=1 << 24),
        Case("no-digest", "no SHA-256", text, sha256=False),
        Case("many-tiny-tensors", "a real file, adaptive planes", REAL_FILE.read_bytes(), None),
        whole("adaptive", "an adaptive plane whose distribution changes", "BF16", drifting),
    ]


def headers() -> list[Case]:
    """Files whose headers say where tensors lie: as they must, as nobody would guess, and past the first chunk."""
    rows = {f"model.layers.{layer}.mlp.up_proj.weight": ("BF16", [3, layer + 1]) for layer in range(60)}
    few = {"scale": ("F32", []), "none": ("I64", [0, 3]), "bias": ("BF16", [70]), "gamma": ("F64", [9, 1])}
    return [
        Case("header", "a header plane, bytes in it that mean something", safetensors(few, padded_nbytes=0x201), None),
        Case("header-gap", "offsets that do not follow, kept", safetensors(few, gap=4), None),
        Case("header-chunks", "a header of more than a chunk", safetensors(rows), None, 1 << 12),
    ]


def safetensors(shapes: dict[str, tuple[str, list[int]]], *, padded_nbytes: int = 0, gap: int = 0) -> bytes:
    """A file of weights of these dtypes and shapes, with `gap` bytes before the last tensor."""
    entries, at = {}, 0
    for name, (dtype, shape) in shapes.items():
        at += gap if name == list(shapes)[-1] else 0
        nbytes = DTYPES[dtype].itemsize * math.prod(shape)
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + nbytes]}
        at += nbytes
    header = json.dumps(entries, separators=(",", ":")).encode().ljust(padded_nbytes)
    return len(header).to_bytes(8, "little") + header + as_bf16(normal(at // 2, 50)).ljust(at, b"\0")


def examples() -> list[Case]:
    """The worked examples of FORMAT.md, section 10."""
    four = np.array([1.0, -1.5, 1.75, 1.125])
    number = np.arange(1, 257)
    twos = np.minimum(np.log2(number & -number), 3).astype(int)
    entries = [
        b'"w":{"dtype":"BF16","shape":[3],"data_offsets":[',
        b']},"b":{"dtype":"U8","shape":[2,2],"data_offsets":[',
    ]
    header = b"0,6".join(entries) + b"6,10]}"
    marked = b"\1".join(entries) + b"\1"
    payload = bytes([0, 0, len(header), 4, 1 + len(marked) + 2, len(marked)]) + marked + b"]}"
    return [
        whole("example-four-values", "FORMAT.md, 10.1", "BF16", as_bf16(four)),
        whole("example-rans", "FORMAT.md, 10.2", "BF16", powers(127 - twos), chunk_nbytes=4096, sha256=False),
        Case("example-header", "FORMAT.md, 10.3", header, payload=payload),
    ]


def encode(case: Case) -> bytes:
    if case.payload:
        return Parts([RecordParts(len(case.data), case.payload)], ending=BARE).container()
    pieces: list[bytes] = []
    layout = read_layout(BytesIO(case.data)) if case.extents is None else None
    extents = ExtentArrays.of(layout.extents if layout else case.extents or ())
    write: Callable[[memoryview | bytes], object] = lambda piece: pieces.append(bytes(piece))  # noqa: E731
    writer = ContainerWriter(write, extents, sha256=case.sha256, chunk_nbytes=case.chunk_nbytes)
    for start in range(0, len(case.data), writer.batch_nbytes):
        writer.write_batch(memoryview(case.data)[start : start + writer.batch_nbytes])
    writer.finish()
    return b"".join(pieces)


def main() -> None:
    folder = GOLDEN / f"v{VERSION}"
    if folder.exists():
        print(f"{folder} is there and stays: golden files belong to their format version")
        return
    folder.mkdir()
    index = {}
    for case in [*examples(), *layouts(), *special_values(), *rans(), *chunks(), *headers()]:
        container = encode(case)
        (folder / f"{case.name}.fb").write_bytes(container)
        index[case.name] = {
            "covers": case.covers,
            "nbytes": len(case.data),
            "sha256": hashlib.sha256(case.data).hexdigest(),
            "container_sha256": hashlib.sha256(container).hexdigest(),
        }
    (folder / "index.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
