"""Encode and decode speed and ratio of freebits and its peers, side by side in one run.

    python tests/bench/bench_codecs.py [--file FILE] [--min-mib 256] [--rounds 5] [--fresh-memory] [--json]

Peers take turns within every round, so that a slow moment of the machine hits all of them; each keeps its
best time. Results go to memory that was used before (`reuse_memory`), for `memcpy` as for everyone; with
`--fresh-memory` to new pages each time, as in a process that sets nothing. On all cores a library that takes
a thread count gets it; any other codes one piece of the file per core, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from data import benchmark_file
from machine import core_count, machine_line, on_cores, reuse_memory
from peers import Blosc2Bitshuffle, Freebits, Memcpy, OpenZL, Peer, ZipNN, Zstd, ZstdPlanes
from piece_workers import PieceWorkers

VERSIONS = ("zstandard", "blosc2", "zipnn", "openzl")
REUSED_COPIES = 5  # the most memory any peer needs, in copies of the input


@dataclass
class Timing:
    """Best seconds so far of one peer on one number of cores."""

    encode_s: float = float("inf")
    decode_s: float = float("inf")
    stored_nbytes: int = 0

    def add(self, encode_s: float, decode_s: float, stored_nbytes: int) -> None:
        self.encode_s = min(self.encode_s, encode_s)
        self.decode_s = min(self.decode_s, decode_s)
        self.stored_nbytes = stored_nbytes


@dataclass
class Run:
    cores: int
    nbytes: int
    timings: dict[str, Timing] = field(default_factory=dict)

    def gb_per_s(self, name: str) -> tuple[float, float]:
        """Original bytes in 10^9 per second: (encoding, decoding)."""
        timing = self.timings[name]
        return self.nbytes / timing.encode_s / 1e9, self.nbytes / timing.decode_s / 1e9


def make_peers(threads: int, *, with_freebits: bool) -> list[Peer]:
    peers: list[Peer] = [
        Memcpy(),
        Zstd(1),
        Zstd(3),
        ZstdPlanes(3, item_nbytes=2),
        Blosc2Bitshuffle(item_nbytes=2, threads=threads),
        ZipNN("BF16", threads=threads),
        OpenZL("BF16", "Entropy"),
        OpenZL("BF16", "Huffman"),
        OpenZL("BF16", "Fse"),
    ]
    return [*peers, Freebits(threads)] if with_freebits else peers


def measure(path: Path, cores: int, rounds: int, *, reused: int, with_freebits: bool) -> Run:
    data = memoryview(path.read_bytes())
    run = Run(cores, len(data))
    make = partial(make_peers, with_freebits=with_freebits)
    with ExitStack() as held:
        held.enter_context(on_cores(cores))
        single = partial(make, 1)
        workers = held.enter_context(PieceWorkers(path, _cut(len(data), cores), single, reused))
        for _ in range(rounds):
            for peer in make(cores):
                alone = cores == 1 or peer.threaded
                turn = take_turn(peer, data) if alone else workers.take_turn(peer.name)
                run.timings.setdefault(peer.name, Timing()).add(*turn)
    return run


def _cut(nbytes: int, count: int) -> list[slice]:
    step = -(-nbytes // count // 4096) * 4096
    return [slice(start, min(start + step, nbytes)) for start in range(0, nbytes, step)]


def take_turn(peer: Peer, data: memoryview) -> tuple[float, float, int]:
    """Encode, decode and compare: (seconds to encode, seconds to decode, stored bytes)."""
    prepared = peer.prepare(data)
    start = time.perf_counter()
    stored = peer.encode(prepared)
    encode_s = time.perf_counter() - start
    del prepared
    start = time.perf_counter()
    decoded = peer.decode(stored)
    decode_s = time.perf_counter() - start
    if memoryview(decoded).cast("B") != data:
        raise AssertionError(f"{peer.name} did not give back what it was given")
    return encode_s, decode_s, peer.stored_nbytes(stored)


def table(run: Run) -> str:
    cores = "1 core" if run.cores == 1 else f"{run.cores} cores"
    columns = ["encode GB/s", "x memcpy", "decode GB/s", "x memcpy", "ratio"]
    lines = [f"| {cores} | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for name, timing in run.timings.items():
        cells = [name]
        for speed, memcpy in zip(run.gb_per_s(name), run.gb_per_s(Memcpy.name), strict=True):
            cells += [f"{speed:.2f}", f"{speed / memcpy:.2f}"]
        lines.append("| " + " | ".join([*cells, f"{run.nbytes / timing.stored_nbytes:.3f}"]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--file", type=Path, help="bf16 weights (default: MiniLM cast to bf16, repeated)")
    parser.add_argument("--min-mib", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of markdown tables")
    parser.add_argument("--fresh-memory", action="store_true", help="malloc as it is: large results are new pages")
    parser.add_argument("--without-freebits", action="store_true", help="peers only")
    arguments = parser.parse_args()

    path = arguments.file or benchmark_file(arguments.min_mib << 20)
    nbytes = path.stat().st_size
    reused = 0 if arguments.fresh_memory else REUSED_COPIES
    if reused:
        reuse_memory(reused * nbytes)
    with_freebits = not arguments.without_freebits
    counts = sorted({1, core_count()})
    runs = [measure(path, cores, arguments.rounds, reused=reused, with_freebits=with_freebits) for cores in counts]
    machine = machine_line(*VERSIONS)
    if arguments.json:
        print(json.dumps({"machine": machine, "runs": [asdict(run) for run in runs]}, indent=1))
    else:
        memory = "" if reused else ", fresh memory"
        print(f"{machine}; {nbytes / 1e6:.0f} MB of bf16, best of {arguments.rounds}{memory}\n")
        print("\n\n".join(map(table, runs)))


if __name__ == "__main__":
    main()
