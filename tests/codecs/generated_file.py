"""Stages of a pipeline for files larger than memory; test_streaming.py starts them.

python generated_file.py make NBYTES | ... encode [THREADS] | ... decode [THREADS] | ... digest

encode and decode report {"rss": peak bytes, "sha256": hex of the original} on stderr.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from freebits_codecs import DecodeSummary, EncodeSummary, decode_file, encode_file

PIECE_NUMEL = 1 << 21


def make(nbytes: int) -> None:
    """A safetensors file of one BF16 tensor: weights again and again, with changes; 1 in 16 pieces is text."""
    numel = nbytes // 2
    header = json.dumps({"w": {"dtype": "BF16", "shape": [numel], "data_offsets": [0, 2 * numel]}}).encode()
    sys.stdout.buffer.write(len(header).to_bytes(8, "little") + header)
    words = np.random.default_rng(0).normal(0, 0.02, PIECE_NUMEL).astype(np.float32).view(np.uint32) >> 16
    piece = words.astype("<u2")
    text = np.frombuffer(b"it is text now. " * (2 * PIECE_NUMEL // 16), "<u2")
    for number, start in enumerate(range(0, numel, PIECE_NUMEL)):
        content = text if number % 16 == 15 else np.roll(piece, 7919 * number) ^ np.uint16(number % 4 << 9)
        sys.stdout.buffer.write(content[: numel - start].tobytes())


def code(work: Callable[..., EncodeSummary | DecodeSummary], threads: int) -> None:
    summary = work(sys.stdin.buffer, sys.stdout.buffer, threads=threads)
    sys.stdout.flush()
    print(json.dumps({"rss": peak_rss(), "sha256": summary.sha256}), file=sys.stderr)


def peak_rss() -> int:
    """Bytes. Not ru_maxrss, which a process inherits from the one that started it."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match is not None
    return int(match[1]) * 1024


def main(stage: str, *arguments: str) -> None:
    if stage == "make":
        make(int(arguments[0]))
    elif stage == "digest":
        print(hashlib.file_digest(sys.stdin.buffer, "sha256").hexdigest())
    else:
        code({"encode": encode_file, "decode": decode_file}[stage], int(arguments[0]) if arguments else 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
