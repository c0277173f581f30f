"""`freebits push` and `pull` over a limited link against curl of the plain file over the same link.

    python tests/bench/bench_link.py [--rounds 3] [--json]

Each round sends a file the hub has not seen, by curl to a server that forgets it and by push; then it fetches
that file, by curl as plain bytes from the hub and by pull, and compares the bytes. Each keeps its best time.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from data import benchmark_file
from limited_link import Link, limited_link
from machine import machine_line
from readers import curl_seconds, curl_upload_seconds
from running_hub import FREEBITS, TOKEN, RunningHub, running_hub
from side_process import listening_script

LINKS = ((1000, 1024), (100, 64))  # Mbit/s, MiB of weights: what takes 8 s each
REPO, NAME = "admin/bench-link", "model.safetensors"
STEPS = ("curl upload", "push", "curl download", "pull")


@dataclass
class Result:
    mbit_per_s: int
    kind: str
    nbytes: int
    best_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STEPS, float("inf")))

    def add(self, step: str, seconds: float) -> None:
        self.best_s[step] = min(self.best_s[step], seconds)


@dataclass(frozen=True)
class FarSide:
    """What a client behind the link can do, in seconds."""

    link: Link
    hub: RunningHub
    hub_address: str
    sink_address: str

    def freebits(self, *arguments: str) -> float:
        """A whole command, the start of its interpreter included."""
        start = time.perf_counter()
        command = [*self.link.client, *FREEBITS, *arguments, "--quiet"]
        subprocess.run(command, env=self.hub.environment(self.hub_address), check=True)
        return time.perf_counter() - start

    def curl_upload(self, path: Path) -> float:
        return curl_upload_seconds(self.sink_address, str(path), self.link.client)

    def curl_download(self, repo: str) -> float:
        path = self.hub.resolve_path(repo, NAME)
        return curl_seconds(self.hub_address, path, TOKEN, self.link.client)[0]


@contextmanager
def far_side(mbit_per_s: int, folder: Path) -> Iterator[FarSide]:
    with ExitStack() as held:
        link = held.enter_context(limited_link(mbit_per_s * 1e6))
        hub = held.enter_context(running_hub(folder / "server", link.server_host))
        sink_port = held.enter_context(listening_script("sink.py", "--host", link.server_host))
        hub_address, sink_address = (held.enter_context(link.to(port)) for port in (hub.port, sink_port))
        yield FarSide(link, hub, hub_address, sink_address)


def measure(mbit_per_s: int, weights: Path, rounds: int) -> Result:
    data = bytearray(weights.read_bytes())
    with TemporaryDirectory(prefix="freebits-bench-") as name, far_side(mbit_per_s, Path(name)) as far:
        result = Result(mbit_per_s, far.link.kind, len(data))
        for turn in range(rounds):
            data[-1] = turn  # a file of which the hub has no copy
            sent = Path(name) / f"sent-{turn}" / NAME
            sent.parent.mkdir()
            sent.write_bytes(data)
            _one_round(far, result, sent, f"{REPO}-{turn}")
    return result


def _one_round(far: FarSide, result: Result, sent: Path, repo: str) -> None:
    result.add("curl upload", far.curl_upload(sent))
    result.add("push", far.freebits("push", str(sent), repo))
    far.hub.wait_until_encoded(repo, NAME)
    result.add("curl download", far.curl_download(repo))
    pulled = sent.parent / "pulled"
    result.add("pull", far.freebits("pull", repo, "-o", str(pulled)))
    if not filecmp.cmp(sent, pulled / NAME, shallow=False):
        raise AssertionError("pull did not bring the bytes that were pushed")


def table(results: Sequence[Result]) -> str:
    lines = [
        "| link | MB | curl download s | pull s | pull / curl | curl upload s | push s | push / curl |",
        "|---|" + "---:|" * 7,
    ]
    for result in results:
        up, push, down, pull = (result.best_s[step] for step in STEPS)
        cells = [f"{result.mbit_per_s} Mbit/s ({result.kind})", f"{result.nbytes / 1e6:.0f}"]
        cells += [f"{down:.2f}", f"{pull:.2f}", f"{pull / down:.2f}"]
        cells += [f"{up:.2f}", f"{push:.2f}", f"{push / up:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a markdown table")
    arguments = parser.parse_args()

    results = [measure(mbit, benchmark_file(mib << 20), arguments.rounds) for mbit, mib in LINKS]
    if arguments.json:
        report = {"machine": machine_line(), "results": [asdict(result) for result in results]}
        print(json.dumps(report, indent=1))
    else:
        print(f"{machine_line()}; best of {arguments.rounds}\n\n{table(results)}")


if __name__ == "__main__":
    main()
