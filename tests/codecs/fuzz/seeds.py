"""Write the first corpora of the fuzz programs: real payloads of every kind, and inputs that make them.

python tests/codecs/fuzz/seeds.py FOLDER        fills FOLDER/decode_chunk and FOLDER/roundtrip_chunk
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from freebits_codecs import encode
from freebits_codecs.container.decoder import inflate
from freebits_codecs.container.records import ZSTD_FLAG
from freebits_codecs.container.writer import ContainerWriter
from freebits_codecs.formats import Extent
from freebits_codecs.planner import LAYOUTS, ExtentArrays
from freebits_codecs.testing import Parts

REAL_FILES = Path(__file__).parents[2] / "data" / "formats"
REAL_NBYTES = 24 << 10
DTYPES = ("U8", "BF16", "F16", "F32", "F64", "F8_E4M3", "F8_E5M2", "U16", "U32", "U64")
"""One for each layout, in the order of the layouts."""


def weights(rng: np.random.Generator, nbytes: int) -> bytes:
    """Normal float32 values, of which every layout makes something uneven."""
    return rng.normal(0, 0.02, -(-nbytes // 4)).astype(np.float32).tobytes()[:nbytes]


def samples() -> Iterator[tuple[bytes, list[Extent]]]:
    """Chunks and their extents: each layout alone, peaked planes of 1, 2 and 4 streams, escapes, run lists."""
    rng = np.random.default_rng(5)
    for dtype in DTYPES:
        for nbytes in (8, 200, 5000):
            yield weights(rng, nbytes), [Extent(dtype, 0, nbytes // 8 * 8)]
    for numel in (1000, 1 << 16, 1 << 18):
        peaked = (rng.random(numel) < 0.02).astype(np.uint16) * 0x3F80
        yield peaked.tobytes(), [Extent("BF16", 0, 2 * numel)]
    wild = rng.integers(0, 1 << 16, 4000).astype(np.uint16)
    wild[rng.random(4000) < 0.9] = 0x3C01
    yield wild.tobytes(), [Extent("BF16", 0, 8000)]
    yield weights(rng, 4003), [Extent("F32", 3, 403), Extent("BF16", 450, 850), Extent("F32", 1001, 4001)]
    yield bytes(3000), [Extent("F64", 0, 3000)]


def payloads(data: bytes, extents: list[Extent]) -> Iterator[tuple[int, bytes]]:
    """(decoded length, payload without zstd) of every chunk."""
    pieces: list[bytes] = []
    writer = ContainerWriter(lambda piece: pieces.append(bytes(piece)), ExtentArrays.of(extents), sha256=False)
    writer.write_batch(memoryview(data))
    writer.finish()
    yield from _inflated(b"".join(pieces))


def real_payloads() -> Iterator[tuple[int, bytes]]:
    for path in sorted(REAL_FILES.glob("*.*")):
        yield from _inflated(encode(path.read_bytes()[:REAL_NBYTES]))


def _inflated(container: bytes) -> Iterator[tuple[int, bytes]]:
    for number, record in enumerate(Parts.of(container).records):
        packed = record.flags & ZSTD_FLAG
        yield record.nbytes, inflate(record.payload, record.nbytes, number) if packed else record.payload


def roundtrip_inputs() -> Iterator[bytes]:
    """In the form that roundtrip_chunk.cpp reads."""
    rng = np.random.default_rng(6)
    for layout in range(len(LAYOUTS)):
        for copies in (0, 15):
            extents = bytes((3, 0, 0xFF, 0xFF, layout, 1, 0, 100, 0, (layout + 1) % len(LAYOUTS)))
            yield bytes((copies, 1, 0, 0, 2)) + extents + weights(rng, 600)
    yield bytes((0xE0 + 13, 1, 0, 0, 1, 3, 0, 0xFF, 0xFF, LAYOUTS.index("BF16"))) + weights(rng, 200)


def write_all(folder: Path, inputs: Iterator[bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for data in inputs:
        (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def main(folder: Path) -> None:
    found = [pair for sample in samples() for pair in payloads(*sample)] + list(real_payloads())
    write_all(folder / "decode_chunk", (nbytes.to_bytes(3, "little") + payload for nbytes, payload in found))
    write_all(folder / "roundtrip_chunk", roundtrip_inputs())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
