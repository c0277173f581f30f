"""`hf upload` and `hf download` of a folder: this hub against the plainest server that they work against.

    python tests/bench/bench_hf.py [--gib 1] [--rounds 3]

Whole commands, with the start of Python and all hashing by the client; the servers take turns, the best of the rounds
counts. Clients from 1.20 on upload by Xet, which the plainest server does not have: that row is beside LFS by the last
release that uses it. The hub has every file verified and committed when `hf upload` ends.
Downloads go by plain HTTP and by Xet; from which size on the hub offers the latter is decided by this.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from data import benchmark_file
from machine import machine_line
from plainest_hub import plainest_hub
from running_hub import TOKEN, running_hub

ENVIRONMENTS = Path(sys.prefix) / "hf"
LFS_CLIENT, XET_CLIENT = "1.19.0", "2.4.0"
FILES = 4
SIZES_MIB = (8, 16, 32, 64, 128, 256, 1024)
SHORT_ROUNDS = 3  # times the rounds for these: they are short, and noise is not
BY_XET = ("--xet-downloads-from-nbytes", "1")  # what the hub offers so, the client takes so, unless it is told not to
BY_HTTP = {"HF_HUB_DISABLE_XET": "1"}


def make_folder(folder: Path, nbytes: int) -> dict[str, str]:
    """Files of different weights, and their SHA-256."""
    data, digests = benchmark_file(nbytes // FILES).read_bytes()[: nbytes // FILES], {}
    folder.mkdir()
    for number in range(FILES):
        content = number.to_bytes(8, "little") + data[8:] if number else data
        (folder / f"part-{number}.bin").write_bytes(content)
        digests[f"part-{number}.bin"] = hashlib.sha256(content).hexdigest()
    return digests


class Client:
    """The `hf` command of one release, with a home of its own for each command."""

    def __init__(self, version: str, scratch: Path) -> None:
        self._hf = ENVIRONMENTS / version / "bin" / "hf"
        self._scratch = scratch
        if not self._hf.exists():
            raise SystemExit(f"no huggingface_hub {version} in {ENVIRONMENTS}: make setup")

    def seconds(self, endpoint: str, *arguments: str, **variables: str) -> float:
        """How long a command takes."""
        home = self._scratch / "home"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "HF_ENDPOINT": endpoint, "HF_TOKEN": TOKEN}
        environment |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1", **variables}
        begun = time.monotonic()
        ran = subprocess.run([self._hf, *arguments], env=environment, capture_output=True, text=True, check=False)
        took = time.monotonic() - begun
        if ran.returncode:
            raise RuntimeError(f"hf {arguments}: {ran.stdout[-1000:]}{ran.stderr[-3000:]}")
        return took

    def download(self, endpoint: str, repo: str, digests: dict[str, str], **variables: str) -> float:
        """A download, whose bytes are compared afterwards."""
        target = self._scratch / "downloaded"
        shutil.rmtree(target, ignore_errors=True)
        took = self.seconds(endpoint, "download", repo, "--local-dir", str(target), **variables)
        for name, digest in digests.items():
            if hashlib.sha256((target / name).read_bytes()).hexdigest() != digest:
                raise AssertionError(f"{name} came back changed")
        return took


def measure(folder: Path, nbytes: int, rounds: int) -> dict[str, tuple[list[float], list[float]]]:
    """Seconds at the plainest server and at the hub, by what is done."""
    files = folder / "files"
    digests = make_folder(files, nbytes)
    lfs, xet = Client(LFS_CLIENT, folder / "lfs"), Client(XET_CLIENT, folder / "xet")
    found: dict[str, tuple[list[float], list[float]]] = {}

    def note(what: str, plain_s: float, hub_s: float) -> None:
        plain, hub = found.setdefault(what, ([], []))
        plain.append(plain_s)
        hub.append(hub_s)

    with (
        plainest_hub(files, digests) as plain,
        plainest_hub(files, digests, kept=folder) as writing,
        running_hub(folder / "served", flags=BY_XET) as hub,
    ):
        url = f"http://{hub.address}"
        for number in range(rounds):
            by_lfs, by_xet = f"admin/lfs-{number}", f"admin/xet-{number}"
            sunk_s = lfs.seconds(plain, "upload", "bench/files", str(files))
            written_s = lfs.seconds(writing, "upload", "bench/files", str(files))
            # Other bytes each time, or the hub would know them.
            for path in files.iterdir():
                with path.open("r+b") as file:
                    file.write(f"{number:04}lfs".encode())
            took = lfs.seconds(url, "upload", by_lfs, str(files))
            note("upload by LFS, beside one that forgets it", sunk_s, took)
            note("upload by LFS, beside one that writes it", written_s, took)
            for name in digests:  # or that would take time from the next upload
                hub.wait_until_encoded(by_lfs, name)
            for path in files.iterdir():
                with path.open("r+b") as file:
                    file.write(f"{number:04}xet".encode())
            took = xet.seconds(url, "upload", by_xet, str(files))
            note("upload by Xet, beside one that forgets it", sunk_s, took)
            note("upload by Xet, beside one that writes it", written_s, took)
            digests.update({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files.iterdir()})
            plain_s = xet.download(plain, "bench/files", digests)
            note("download as it was sent, by HTTP", plain_s, xet.download(url, by_xet, digests, **BY_HTTP))
            note("download as it was sent, by Xet", plain_s, xet.download(url, by_xet, digests))
            for name in digests:
                hub.wait_until_encoded(by_xet, name)
            note("download of encoded files, by HTTP", plain_s, xet.download(url, by_xet, digests, **BY_HTTP))
            note("download of encoded files, by Xet", plain_s, xet.download(url, by_xet, digests))
    return found


def compare(folder: Path, rounds: int) -> dict[int, tuple[float, float]]:
    """Best seconds of the download of one encoded file by HTTP and by Xet, by its MiB."""
    client, found = Client(XET_CLIENT, folder / "client"), {}
    with running_hub(folder / "served", flags=BY_XET) as hub:
        url = f"http://{hub.address}"
        for mib in SIZES_MIB:
            data, repo = benchmark_file(mib << 20).read_bytes()[: mib << 20], f"admin/one-{mib}"
            path = folder / "one.bin"
            path.write_bytes(data)
            hub.push(path, repo)
            hub.wait_until_encoded(repo, path.name)
            digests = {path.name: hashlib.sha256(data).hexdigest()}
            took = [
                (client.download(url, repo, digests, **BY_HTTP), client.download(url, repo, digests))
                for _ in range(rounds)
            ]
            by_http, by_xet = map(min, zip(*took, strict=True))
            found[mib] = (by_http, by_xet)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    nbytes = int(arguments.gib * (1 << 30))
    with tempfile.TemporaryDirectory(prefix="freebits-bench-") as folder:
        found = measure(Path(folder), nbytes, arguments.rounds)
    with tempfile.TemporaryDirectory(prefix="freebits-bench-") as folder:
        by_size = compare(Path(folder), SHORT_ROUNDS * arguments.rounds)
    print(f"{machine_line()}; {nbytes / 1e9:.2f} GB in {FILES} files, best of {arguments.rounds}\n")
    print("| `hf` | plainest server s | this hub s | hub / plainest |\n|---|---:|---:|---:|")
    for what, (plain, hub) in found.items():
        print(f"| {what} | {min(plain):.2f} | {min(hub):.2f} | {min(hub) / min(plain):.2f} |")
    print("\n| one encoded file of MiB | by HTTP s | by Xet s | Xet / HTTP |\n|---:|---:|---:|---:|")
    for mib, (http_s, xet_s) in by_size.items():
        print(f"| {mib} | {http_s:.2f} | {xet_s:.2f} | {xet_s / http_s:.2f} |")


if __name__ == "__main__":
    main()
