"""Mutate whole containers, checksums made anew, and read them every way; nothing but a CodecError may come of it.

python tests/codecs/fuzz/mutate_containers.py [--seconds 60] [--seed 0] [--findings FOLDER]

A container that makes anything else (another exception, wrong bytes under a digest, ways that disagree) is
written to FOLDER. A crash leaves the container at hand there, as `last.fb`.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zstandard

from freebits_codecs import BytesSource, ContainerReader, decode, decode_file, encode
from freebits_codecs.container.decoder import inflate
from freebits_codecs.container.frames import parse_payload
from freebits_codecs.container.records import ZSTD_FLAG
from freebits_codecs.errors import CodecError
from freebits_codecs.testing import MIXES, Parts, RecordParts, safetensors, values

INTERESTING = (0, 1, 2, 3, 0x3F, 0x40, 0x7F, 0x80, 0xC0, 0xFE, 0xFF)


@dataclass(frozen=True)
class Subject:
    """A container with its original."""

    original: bytes
    container: bytes


def subjects() -> list[Subject]:
    """Small files of every dtype and kind of values, with digests."""
    rng = np.random.default_rng(9)
    mixes, originals = sorted(MIXES), [b"", b"x", b"text, text, text. " * 90]
    for dtype in ("BF16", "F16", "F32", "F64", "F8_E4M3", "F8_E5M2", "I8", "I16", "I32", "I64", "BOOL"):
        for numel in (1, 70, 700, 4500):
            tensors = [(dtype, values(str(rng.choice(mixes)), dtype, numel)), ("U8", rng.bytes(3))]
            originals.append(safetensors([*tensors, (dtype, values("normal", dtype, numel))]))
    return [Subject(original, encode(original, sha256=True)) for original in originals]


class Mutator:
    """Changes to bytes, payloads and the parts of a container, all drawn from one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def container(self, container: bytes) -> bytes:
        """Anything: bytes as they are, or parts under checksums that hold."""
        if self.rng.random() < 0.1:
            return self.bytes(container)
        parts = Parts.of(container)
        if not parts.records:
            return self.bytes(container)
        for _ in range(int(self.rng.integers(1, 3))):
            self.record(parts.records[int(self.rng.integers(len(parts.records)))])
        lies = {}
        if self.rng.random() < 0.1:
            lies[str(self.rng.choice(["chunk_count", "nbytes", "index_offset"]))] = int(self.rng.integers(0, 2**40))
        return parts.container(**lies)

    def record(self, record: RecordParts) -> None:
        """Mostly the payload, also inside zstd; sometimes what the record says of it."""
        choice = self.rng.random()
        if choice < 0.05:
            record.flags ^= ZSTD_FLAG
        elif choice < 0.1:
            record.nbytes = max(1, record.nbytes + int(self.rng.integers(-70, 70)))
        elif record.flags & ZSTD_FLAG and choice < 0.7:
            record.payload = zstandard.compress(self.bytes(inflated(record)))
        else:
            record.payload = self.bytes(record.payload)

    def bytes(self, data: bytes) -> bytes:
        """One to four edits, most of them near the front, where the structure is."""
        for _ in range(int(self.rng.integers(1, 5))):
            reach = min(len(data), int(self.rng.choice([16, 80, 400, 1 << 20])))
            at = int(self.rng.integers(0, reach + 1))
            stop = at + int(self.rng.integers(0, 6))
            piece = (
                bytes((int(self.rng.choice(INTERESTING)),)),
                self.rng.bytes(stop - at),
                b"",
                data[at:stop] * 2,
                b"\xff" * (stop - at),
                data[stop : 2 * stop - at],
            )[int(self.rng.integers(6))]
            data = data[:at] + piece + data[stop:]
        return data


def inflated(record: RecordParts) -> bytes:
    """The content of a zstd payload, or nothing if it is none any more."""
    try:
        return inflate(record.payload, record.nbytes, 0)
    except CodecError:
        return b""


def read_stream(container: bytes) -> bytes:
    out = io.BytesIO()
    decode_file(io.BytesIO(container), out)
    return out.getvalue()


def read_ranges(container: bytes) -> bytes:
    """By random access; the structure of every chunk is looked at as well."""
    reader = ContainerReader(BytesSource(container))
    for chunk in range(reader.chunk_count):
        record, stored = reader.read_record(chunk)
        if not record.flags:
            parse_payload(stored[16:])
    return b"".join(reader.iter())


def outcome(read: Callable[[bytes], bytes], container: bytes) -> bytes | None:
    """The bytes, or None when they are refused."""
    try:
        return read(container)
    except CodecError:
        return None


def check(subject: Subject, container: bytes) -> None:
    whole, streamed = outcome(decode, container), outcome(read_stream, container)
    assert whole == streamed, "random access and stream disagree"
    assert whole in {None, subject.original}, "wrong bytes passed a digest"
    outcome(read_ranges, container)


def fuzz(seconds: float, seed: int, findings: Path) -> int:
    """Runs until time is up; returns the number of findings."""
    findings.mkdir(parents=True, exist_ok=True)
    mutator, all_subjects = Mutator(seed), subjects()
    runs = found = decoded = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        subject = all_subjects[int(mutator.rng.integers(len(all_subjects)))]
        container = mutator.container(subject.container)
        (findings / "last.fb").write_bytes(container)
        runs += 1
        try:
            check(subject, container)
        except Exception as error:
            found += 1
            path = findings / f"mutation-{seed}-{runs}.fb"
            path.write_bytes(container)
            print(f"{path}: {type(error).__name__}: {error}", file=sys.stderr)
        else:
            decoded += outcome(decode, container) is not None
    (findings / "last.fb").unlink()
    print(f"{runs} containers, {decoded} of them read, {found} findings")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--findings", type=Path, default=Path("build/fuzz/findings"))
    arguments = parser.parse_args()
    sys.exit(fuzz(arguments.seconds, arguments.seed, arguments.findings) > 0)


if __name__ == "__main__":
    main()
