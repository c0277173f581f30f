"""`hf upload` and `hf download` of a folder: this hub against the plainest server that they work against.

    python tests/bench/bench_hf.py [--gib 1] [--rounds 3]

Whole commands, with the start of Python and all hashing by the client; the servers take turns, the best of the rounds
counts. Clients from 1.20 on upload by Xet, to the plainest server, too; rows beside LFS are beside the last release of
those that use it. The hub has every file verified and committed when `hf upload` ends.
Downloads go by plain HTTP and by Xet; from which size on the hub offers the latter is decided by this. On one machine
client and server share the cores, so that all a server does is added to what the client does; over a limited link it is
done while bytes are on their way.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from data import benchmark_file
from hf_command import FILES, Client, make_folder
from limited_link import Link, limited_link
from machine import machine_line
from page_cache import fill_page_cache
from plainest_hub import plainest_hub
from running_hub import RunningHub, running_hub

Times = dict[str, tuple[list[float], list[float]]]
LFS_CLIENT, XET_CLIENT = "1.19.0", "2.4.0"
SIZES_MIB = (8, 16, 32, 64, 128, 256, 1024)
SHORT_ROUNDS = 3  # times the rounds for these: they are short, and noise is not
BY_XET = ("--xet-downloads-from-nbytes", "1")  # what the hub offers so, the client takes so, unless it is told not to
BY_HTTP = {"HF_HUB_DISABLE_XET": "1"}


@contextmanager
def servers(folder: Path, digests: dict[str, str], link: Link) -> Iterator[tuple[str, str, str, str, RunningHub]]:
    """The plainest servers that forget, write and are careful, and a hub: their addresses for a client, and the hub."""
    files = folder / "files"
    with ExitStack() as held:
        ports = [
            held.enter_context(plainest_hub(files, digests, link.server_host)),
            held.enter_context(plainest_hub(files, digests, link.server_host, kept=folder)),
            held.enter_context(plainest_hub(files, digests, link.server_host, kept=folder, is_careful=True)),
        ]
        hub = held.enter_context(running_hub(folder / "served", link.server_host, flags=BY_XET))
        forgetting, writing, careful, served = (
            f"http://{held.enter_context(link.to(port))}" for port in (*ports, hub.port)
        )
        yield forgetting, writing, careful, served, hub


def measure(folder: Path, nbytes: int, rounds: int, link: Link) -> Times:
    """Seconds at the plainest server and at the hub, by what is done."""
    files = folder / "files"
    digests = make_folder(files, nbytes)
    fill_page_cache(folder)
    lfs = Client(LFS_CLIENT, folder / "lfs", link.client)
    xet = Client(XET_CLIENT, folder / "xet", link.client)
    found: Times = {}

    def note(what: str, plain_s: float, hub_s: float) -> None:
        plain, hub = found.setdefault(what, ([], []))
        plain.append(plain_s)
        hub.append(hub_s)

    with servers(folder, digests, link) as (plain, writing, careful, url, hub):
        for number in range(rounds):
            by_lfs, by_xet = f"admin/lfs-{number}", f"admin/xet-{number}"
            sunk_s = lfs.seconds(plain, "upload", "bench/files", str(files))
            written_s = lfs.seconds(writing, "upload", "bench/files", str(files))
            kept_s = lfs.seconds(careful, "upload", "bench/files", str(files))
            sunk_by_xet_s = xet.seconds(plain, "upload", "bench/files", str(files))
            written_by_xet_s = xet.seconds(writing, "upload", "bench/files", str(files))
            # Other bytes each time, or the hub would know them.
            for path in files.iterdir():
                with path.open("r+b") as file:
                    file.write(f"{number:04}lfs".encode())
            took = lfs.seconds(url, "upload", by_lfs, str(files))
            note("upload by LFS, beside one that forgets it", sunk_s, took)
            note("upload by LFS, beside one that writes it", written_s, took)
            note("upload by LFS, beside one that verifies it and has it on the disk", kept_s, took)
            for name in digests:  # or that would take time from the next upload
                hub.wait_until_encoded(by_lfs, name)
            for path in files.iterdir():
                with path.open("r+b") as file:
                    file.write(f"{number:04}xet".encode())
            took = xet.seconds(url, "upload", by_xet, str(files))
            note("upload by Xet, beside one that forgets it", sunk_by_xet_s, took)
            note("upload by Xet, beside one that writes it", written_by_xet_s, took)
            note("upload by Xet, beside LFS to one that forgets it", sunk_s, took)
            note("upload by Xet, beside LFS to one that writes it", written_s, took)
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


def show(title: str, found: Times) -> None:
    print(f"\n{title}\n\n| `hf` | plainest server s | this hub s | hub / plainest |\n|---|---:|---:|---:|")
    for what, (plain, hub) in found.items():
        print(f"| {what} | {min(plain):.2f} | {min(hub):.2f} | {min(hub) / min(plain):.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mbit", type=float, default=1000, help="speed of the limited link")
    arguments = parser.parse_args()
    nbytes = int(arguments.gib * (1 << 30))
    print(f"{machine_line()}; {nbytes / 1e9:.2f} GB in {FILES} files, best of {arguments.rounds}")
    with tempfile.TemporaryDirectory(prefix="freebits-bench-") as folder:
        show("on one machine", measure(Path(folder), nbytes, arguments.rounds, Link("none", "127.0.0.1", (), 0)))
    with tempfile.TemporaryDirectory(prefix="freebits-bench-") as folder, limited_link(arguments.mbit * 1e6) as link:
        title = f"over a link of {arguments.mbit:.0f} Mbit/s ({link.kind})"
        show(title, measure(Path(folder), nbytes, arguments.rounds, link))
    with tempfile.TemporaryDirectory(prefix="freebits-bench-") as folder:
        by_size = compare(Path(folder), SHORT_ROUNDS * arguments.rounds)
    print("\n| one encoded file of MiB | by HTTP s | by Xet s | Xet / HTTP |\n|---:|---:|---:|---:|")
    for mib, (http_s, xet_s) in by_size.items():
        print(f"| {mib} | {http_s:.2f} | {xet_s:.2f} | {xet_s / http_s:.2f} |")


if __name__ == "__main__":
    main()
