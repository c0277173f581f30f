"""Pulls, pushes, HEADs and listings at once against the production topology with a large database.

    python tests/bench/bench_load.py [--seconds 60] [--clients 2] [--repos 100000 --files 10000000 ...]

Starts what ``make stack`` starts (Postgres, S3, two api replicas behind the proxy, two workers, Prometheus), pushes
some content, seeds the database (``seed.py``), then asks through the proxy. Small files and raw ones are read from the
store itself, by the presigned URL that the hub answers with. Clients are closed-loop: each connection sends its next
request when the last is answered, so that latencies include waiting for a core, and the request rate is what this
machine sustains. Before that each kind of request is made alone, by one connection. Exit status 1 when any request
failed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil
import psycopg
from load_driver import Load, Measured, Target, drive
from machine import machine_line
from running_hub import TOKEN, RunningHub
from seed import add_flags, disk_nbytes, plan_from, seed
from seeded_repos import token_of

sys.path.append(str(Path(__file__).parents[1] / "servers"))
from stack import Stack

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


def fill(stack: Stack, arguments: argparse.Namespace) -> None:
    """Push what can be pulled, wait until it is encoded, then seed everything else."""
    hub = RunningHub("127.0.0.1", stack.proxy.port, stack.root)
    with tempfile.TemporaryDirectory() as folder:
        for number, nbytes in enumerate(POOL_NBYTES):
            values = np.random.default_rng(number).standard_normal(nbytes // 2, dtype=np.float32) * 0.02
            Path(folder, f"{number:02}.npy").write_bytes((values.view(np.uint32) >> 16).astype(np.uint16).tobytes())
        hub.push(Path(folder), "admin/pool", "--no-encode")
    for number in range(len(POOL_NBYTES)):
        hub.wait_until_stored("admin/pool", f"{number:02}.npy")
    begun = time.monotonic()
    counted = seed(database_url(stack), plan_from(arguments))
    print(f"seeded {counted['repo']:,} repos and {counted['tree_entry']:,} files in {time.monotonic() - begun:.0f} s\n")


def database_url(stack: Stack) -> str:
    """The hub's database, as its owner."""
    return stack.postgres.url("freebits")


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


def run(
    stack: Stack, found: Sequence[Target], users: int, connections: Mapping[str, int], seconds: float, clients: int = 1
) -> Measured:
    """All client processes at once, each with so many connections per kind; what they measured, together."""
    pushing = connections["push"]
    own, shared = found[: clients * pushing], tuple(found[clients * pushing :])
    loads = [
        Load(
            address=stack.proxy.url,
            targets=shared,
            own=tuple(own[number * pushing : (number + 1) * pushing]),
            connections=connections,
            seconds=seconds,
            users=users,
            seed=number,
        )
        for number in range(clients)
    ]
    together = Measured()
    with ProcessPoolExecutor(clients, mp_context=get_context("spawn")) as pool:
        for measured in pool.map(drive, loads):
            together.add(measured)
    return together


def run_alone(stack: Stack, found: Sequence[Target], users: int, seconds: float) -> Measured:
    """One connection with one kind of request, one kind after the other."""
    together = Measured()
    for kind in CONNECTIONS:
        together.add(run(stack, found, users, {other: int(other == kind) for other in CONNECTIONS}, seconds))
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


def cpu_s(pids: Iterable[int]) -> float:
    """CPU seconds of these processes and their children so far, those that have ended included."""
    total = 0.0
    for pid in pids:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                total += sum(process.cpu_times()[:4])
    return total


def cpu_by_part(stack: Stack) -> Mapping[str, float]:
    """What each part of the topology has used."""
    parts = {
        "api": [each.popen.pid for each in stack.apis],
        "proxy": [stack.proxy.popen.pid],
        "workers": [each.popen.pid for each in stack.workers],
        "store": [stack.s3.process.pid],
        "database": [stack.postgres.process.pid],
    }
    return {name: cpu_s(pids) for name, pids in parts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=2, help="client processes")
    add_flags(parser)
    arguments = parser.parse_args()
    stack = Stack(FREEBITS_ADMIN_TOKEN=TOKEN)
    try:
        fill(stack, arguments)
        nbytes = disk_nbytes(database_url(stack))["database"]
        print(f"{machine_line()}; {nbytes / 1e9:.1f} GB of Postgres, load average before {_loads()}")
        found = targets(database_url(stack), 2000)
        alone = run_alone(stack, found, arguments.users, arguments.seconds / 3)
        print(f"One connection alone, {arguments.seconds / 3:.0f} s each:\n\n{table(alone, arguments.seconds / 3)}\n")
        before = cpu_by_part(stack)
        measured = run(stack, found, arguments.users, CONNECTIONS, arguments.seconds, arguments.clients)
        used = {name: seconds - before[name] for name, seconds in cpu_by_part(stack).items()}
    finally:
        stack.close()
    clients = f"{arguments.clients} client processes with {sum(CONNECTIONS.values())} connections each"
    print(f"{len(stack.apis)} api replicas, {len(stack.workers)} workers, {clients},")
    print(f"closed loop for {arguments.seconds:.0f} s, load average after {_loads()}\n")
    print(table(measured, arguments.seconds))
    shares = ", ".join(f"{name} {seconds:.1f}" for name, seconds in used.items())
    print(f"\nCPU seconds: {shares}, clients {measured.cpu_s:.1f} (importing included)")
    errors = alone.errors + measured.errors
    for error, count in errors.most_common(10):
        print(f"{count} x {error}", file=sys.stderr)
    sys.exit(bool(errors))


def _loads() -> str:
    return ", ".join(f"{each:.1f}" for each in os.getloadavg())


if __name__ == "__main__":
    main()
