"""GET of an encoded file through the hub against GET of a plain file through the same hub.

    python tests/bench/bench_http.py [--min-mib 256] [--rounds 15] [--json]

Both files hold the same weights; the plain one lacks the last byte and so stays under the hub's least size
for encoding. Both give plain bytes. They take turns, by curl and by a bare socket; the medians are
compared, because client, server and decoder share the cores and single runs vary by a third.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

from data import benchmark_file
from machine import machine_line
from readers import TEN_GBIT, body_sha256, curl_seconds, socket_seconds
from running_hub import TOKEN, RunningHub, running_hub

REPO, PLAIN, ENCODED = "admin/bench-http", "plain.safetensors", "encoded.safetensors"
READERS = {
    "curl, no faster than 10 Gbit/s": partial(curl_seconds, flags=TEN_GBIT),
    "curl": curl_seconds,
    "socket": socket_seconds,
}


def stage(hub: RunningHub, folder: Path, data: bytes) -> None:
    """Push both files raw, wait for the worker, check that each comes back as it was."""
    folder.mkdir()
    for name, content in ((ENCODED, memoryview(data)), (PLAIN, memoryview(data)[:-1])):
        (folder / name).write_bytes(content)
    hub.push(folder, REPO, "--no-encode")
    hub.wait_until_encoded(REPO, ENCODED)
    for name in (ENCODED, PLAIN):
        given = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if body_sha256(hub.address, hub.resolve_path(REPO, name), TOKEN) != given:
            raise AssertionError(f"GET of {name} did not bring the bytes that were pushed")
    if hub.state(REPO, PLAIN) != "raw":
        raise AssertionError("the plain file was encoded: there is nothing to compare with")


def measure(hub: RunningHub, rounds: int) -> dict[str, dict[str, float]]:
    """Median bytes per second: reader -> {plain, encoded}; the two take turns."""
    speeds: dict[str, dict[str, list[float]]] = {reader: {PLAIN: [], ENCODED: []} for reader in READERS}
    for _ in range(rounds):
        for reader, get in READERS.items():
            for name in (PLAIN, ENCODED):
                seconds, nbytes = get(hub.address, hub.resolve_path(REPO, name), TOKEN)
                speeds[reader][name].append(nbytes / seconds)
    return {reader: {name: median(found) for name, found in names.items()} for reader, names in speeds.items()}


def table(medians: dict[str, dict[str, float]]) -> str:
    lines = ["| GET through the hub | plain GB/s | encoded GB/s | encoded / plain |", "|---|---:|---:|---:|"]
    for reader, speed in medians.items():
        plain, encoded = speed[PLAIN], speed[ENCODED]
        lines.append(f"| {reader} | {plain / 1e9:.2f} | {encoded / 1e9:.2f} | {encoded / plain:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--min-mib", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a markdown table")
    arguments = parser.parse_args()

    data = benchmark_file(arguments.min_mib << 20).read_bytes()
    with tempfile.TemporaryDirectory(prefix="freebits-bench-") as folder:
        flags = ("--encode-min-nbytes", str(len(data)))
        with running_hub(Path(folder), flags=flags) as hub:
            stage(hub, Path(folder) / "files", data)
            medians = measure(hub, arguments.rounds)
    if arguments.json:
        print(json.dumps({"machine": machine_line(), "nbytes": len(data), "bytes_per_s": medians}, indent=1))
    else:
        print(f"{machine_line()}; {len(data) / 1e6:.0f} MB, median of {arguments.rounds}\n\n{table(medians)}")


if __name__ == "__main__":
    main()
