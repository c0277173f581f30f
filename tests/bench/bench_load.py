"""Pulls, pushes, HEADs and listings at once against a hub with a large database.

    python tests/bench/bench_load.py [--seconds 60] [--clients 2] [--repos 100000 --files 10000000 ...]
    python tests/bench/bench_load.py --database-url postgresql+psycopg://... --data FOLDER    # seeded before

Starts Postgres, pushes some content, seeds the database (``seed.py``), then runs two api processes and a worker as
processes of their own. Clients are closed-loop: each connection sends its next request when the last is answered, so
that latencies include waiting for a core, and the request rate is what this machine sustains. Exit status 1 when
any request failed.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil
import psycopg
from load_driver import Load, Measured, Target, drive
from machine import machine_line
from running_hub import FREEBITS, running_hub
from seed import add_flags, disk_nbytes, plan_from, seed
from seeded_repos import token_of

sys.path.append(str(Path(__file__).parents[1] / "servers"))
from postgres import PostgresServer

CONNECTIONS = {"pull": 4, "head_of_file": 4, "tree": 4, "repos": 2, "history": 2, "push": 2}
NAMES = {
    "pull": "GET file (300 B to 4 MB)",
    "head_of_file": "HEAD file",
    "tree": "tree, recursive, 1000 a page",
    "repos": "repos, 100 a page",
    "history": "history, 50 a page",
    "push": "push of 64 KiB (4 requests)",
}
POOL_NBYTES = (300, 900, 2000, *(20_000, 60_000, 200_000, 500_000) * 2, *(1_000_000, 2_000_000, 4_000_000) * 2)
API_PROCESSES = 2


def fill(folder: Path, url: str, arguments: argparse.Namespace) -> None:
    """Push what can be pulled, then seed everything else."""
    files = folder / "pool"
    files.mkdir()
    for number, nbytes in enumerate(POOL_NBYTES):
        values = np.random.default_rng(number).standard_normal(nbytes // 2, dtype=np.float32) * 0.02
        (files / f"{number:02}.npy").write_bytes((values.view(np.uint32) >> 16).astype(np.uint16).tobytes())
    with running_hub(folder, flags=("--database-url", url, "--migrate")) as hub:
        hub.push(files, "admin/pool", "--no-encode")
        for number in range(len(POOL_NBYTES)):
            hub.wait_until_stored("admin/pool", f"{number:02}.npy")
    begun = time.monotonic()
    counted = seed(url, plan_from(arguments))
    print(f"seeded {counted['repo']:,} repos and {counted['tree_entry']:,} files in {time.monotonic() - begun:.0f} s\n")


@contextmanager
def production(folder: Path, data: Path, url: str) -> Iterator[tuple[list[str], list[psutil.Process]]]:
    """Api processes and a worker over one store; the addresses, and the api processes."""
    with ExitStack() as stack:
        addresses, processes = [], []
        for number in range(API_PROCESSES):
            place = _sharing_objects(folder / f"api-{number}", data)
            hub = stack.enter_context(running_hub(place, flags=("--database-url", url, "--no-worker")))
            addresses.append(hub.address)
        processes = [each for each in psutil.Process().children() if "serve" in each.cmdline()]
        worker = _sharing_objects(folder / "worker", data) / "hub"
        command = [*FREEBITS, "worker", "--database-url", url, "--data", str(worker)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FREEBITS_")}
        log = stack.enter_context((folder / "worker.log").open("wb"))
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            yield addresses, processes
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _sharing_objects(place: Path, data: Path) -> Path:
    """A data folder of its own, which each process locks, with the one folder of objects in it."""
    (place / "hub").mkdir(parents=True)
    (place / "hub" / "objects").symlink_to(data / "objects", target_is_directory=True)
    return place


def targets(url: str, count: int) -> list[Target]:
    """Seeded repos, evenly over all, with up to 50 of their files each."""
    query = (
        'SELECT r.namespace, r.name, u.id, array(SELECT e.path FROM ref f JOIN "commit" c ON c.id = f.commit_id'
        " JOIN tree_span s ON s.tree_id = c.tree_id JOIN tree_entry e ON e.page_id = s.page_id"
        " WHERE f.repo_id = r.id LIMIT 50)"
        ' FROM repo r JOIN "user" u ON u.name = r.namespace WHERE r.id %% %s = 0 AND u.role = %s'
    )
    with psycopg.connect(url.replace("+psycopg", "", 1)) as connection:
        (total,) = connection.execute("SELECT count(*) FROM repo").fetchone() or (0,)
        rows = connection.execute(query, (max(1, total // count), "user")).fetchall()
    return [Target(f"{space}/{name}", token_of(user), tuple(paths)) for space, name, user, paths in rows]


def run(addresses: list[str], url: str, arguments: argparse.Namespace) -> Measured:
    """All client processes at once; what they measured, together."""
    found = targets(url, 2000)
    pushing = CONNECTIONS["push"]
    own, shared = found[: arguments.clients * pushing], tuple(found[arguments.clients * pushing :])
    loads = [
        Load(
            addresses=tuple(addresses),
            targets=shared,
            own=tuple(own[number * pushing : (number + 1) * pushing]),
            connections=CONNECTIONS,
            seconds=arguments.seconds,
            users=arguments.users,
            seed=number,
        )
        for number in range(arguments.clients)
    ]
    together = Measured()
    with ProcessPoolExecutor(arguments.clients, mp_context=get_context("spawn")) as pool:
        for measured in pool.map(drive, loads):
            for kind, latencies in measured.latencies.items():
                together.latencies[kind] += latencies
            together.nbytes += measured.nbytes
            together.errors += measured.errors
            together.cpu_s += measured.cpu_s
    return together


def table(measured: Measured, seconds: float) -> str:
    failed = Counter(kind.partition(":")[0] for kind in measured.errors.elements())
    lines = ["| request | answered | per second | p50 ms | p99 ms | MB/s | errors |", "|---|" + "---:|" * 6]
    for kind in CONNECTIONS:
        latencies = np.array(measured.latencies[kind]) * 1000
        p50, p99 = (np.percentile(latencies, each) if len(latencies) else float("nan") for each in (50, 99))
        rate, volume = len(latencies) / seconds, measured.nbytes[kind] / seconds / 1e6
        lines.append(
            f"| {NAMES[kind]} | {len(latencies)} | {rate:.1f} | {p50:.0f} | {p99:.0f} | {volume:.1f} | {failed[kind]} |"
        )
    return "\n".join(lines)


def cpu_s(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=2, help="client processes")
    parser.add_argument("--database-url", default="", help="a database that is seeded already")
    parser.add_argument("--data", type=Path, help="the data folder that belongs to it")
    add_flags(parser)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="freebits-bench-load-")))
        url, data = arguments.database_url, arguments.data
        if not url:
            postgres = PostgresServer()
            stack.callback(postgres.close)
            url, data = postgres.create_database("hub"), folder / "hub"
            fill(folder, url, arguments)
        nbytes = disk_nbytes(url)["database"]
        print(f"{machine_line()}; {nbytes / 1e9:.1f} GB of Postgres, load average before {_loads()}")
        addresses, processes = stack.enter_context(production(folder, data, url))
        used = cpu_s(processes)
        measured = run(addresses, url, arguments)
        used = cpu_s(processes) - used
        clients = f"{arguments.clients} client processes with {sum(CONNECTIONS.values())} connections each"
        print(f"{API_PROCESSES} api processes, 1 worker, {clients},")
        print(f"closed loop for {arguments.seconds:.0f} s, load average after {_loads()}\n")
        print(table(measured, arguments.seconds))
        print(f"\nCPU seconds: api {used:.1f}, clients {measured.cpu_s:.1f} (importing included)")
    for error, count in measured.errors.most_common(10):
        print(f"{count} x {error}", file=sys.stderr)
    sys.exit(bool(measured.errors))


def _loads() -> str:
    return ", ".join(f"{each:.1f}" for each in os.getloadavg())


if __name__ == "__main__":
    main()
