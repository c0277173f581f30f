"""Encode the same files with 1 and with 2 workers on a Postgres of our own; count what they ask of it.

    python tests/bench/bench_workers.py [--files 60] [--idle-s 20]

The files are MiniLM in BF16 (or the checkpoint that comes with the tests, when the package is not installed), each
with a few bytes changed, put straight into the store and the queue. Statements are those the server logged.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "servers"))

from data import PACKAGE, minilm_bf16, write_safetensors
from machine import machine_line
from postgres import PostgresServer
from sqlalchemy import func, select

from freebits_service.blobs.keys import new_raw_key, upload_origin
from freebits_service.blobs.queries import add_raw_blob
from freebits_service.context import Hub, open_hub
from freebits_service.jobs.queries import Asked, add_encode_jobs
from freebits_service.migrate import upgrade
from freebits_service.models import Blob, Job, Worker
from freebits_service.settings import Settings

CHECKPOINT = Path(__file__).parents[1] / "data" / "checkpoints" / "stories260k-bf16" / "model.safetensors"
LOGGED = re.compile(r"^@(\S*)@.*LOG:  (?:statement|execute [^:]*): (\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Round:
    """What so many workers did."""

    workers: int
    jobs: int
    nbytes: int
    seconds: float
    transactions: int


def source(folder: Path) -> bytes:
    """A real checkpoint."""
    if importlib.util.find_spec(PACKAGE) is None:
        print(f"{PACKAGE} is not installed: only the small checkpoint is encoded", file=sys.stderr)
        return CHECKPOINT.read_bytes()
    path = folder / "model.safetensors"
    write_safetensors(path, minilm_bf16())
    return path.read_bytes()


def put_files(hub: Hub, content: bytes, first: int, number: int) -> list[str]:
    """Raw blobs as a push of so many files leaves them; their digests."""
    digests = []
    for n in range(first, first + number):
        changed = content[:-8] + n.to_bytes(8, "little")
        digest = hashlib.sha256(changed).hexdigest()
        key = new_raw_key(digest, upload_origin(f"{n:032x}"))
        hub.store.begin(key)
        with hub.store.write_part(key, 0, 0) as part:
            part.write([changed])
            part.finish()
        hub.store.finish(key)
        with hub.db.transaction() as session:
            add_raw_blob(session, digest, len(changed), key)
        digests.append(digest)
    return digests


def queue(hub: Hub, digests: list[str]) -> None:
    """A job for each, all at once: no worker has begun with one before the last is there."""
    with hub.db.transaction() as session:
        blobs = session.scalars(select(Blob).where(Blob.sha256.in_(digests)).order_by(Blob.id)).all()
        add_encode_jobs(session, blobs, "cpu", Asked())


@contextmanager
def running(hub: Hub, workers: int) -> Iterator[None]:
    """So many workers, ready; ended afterwards."""
    flags = ["--data", str(hub.settings.data), "--log-level", "error"]
    environment = {**os.environ, "FREEBITS_DATABASE_URL": hub.settings.database_url}
    command = [sys.executable, "-m", "freebits", "worker", *flags]
    processes = [subprocess.Popen(command, env=environment) for _ in range(workers)]
    try:
        await_count(hub, workers, lambda: select(func.count()).select_from(Worker))
        time.sleep(2)  # let them settle: the engine starts its threads
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(60)


def await_count(hub: Hub, wanted: int, statement) -> None:  # type: ignore[no-untyped-def]
    """Until the statement counts so many."""
    while True:
        with hub.db.snapshot() as session:
            if session.scalar(statement()) == wanted:
                return
        time.sleep(0.2)


def encode_all(hub: Hub, server: PostgresServer, workers: int, content: bytes, files: int, done: int) -> Round:
    """Time from the files queued until the last one encoded; one more per worker before warms the encoders up."""
    warming, measured = put_files(hub, content, done, workers), put_files(hub, content, done + workers, files)
    with running(hub, workers):
        queue(hub, warming)
        await_done(hub, done + workers)
        begun, before = time.monotonic(), transactions(hub)
        queue(hub, measured)
        await_done(hub, done + workers + files)
        seconds = time.monotonic() - begun
        return Round(workers, files, files * len(content), seconds, transactions(hub) - before)


def await_done(hub: Hub, number: int) -> None:
    """Until so many jobs are done."""
    await_count(hub, number, lambda: select(func.count()).select_from(Job).where(Job.state == "done"))


def transactions(hub: Hub) -> int:
    """Committed in the database so far, ours and the engine's."""
    with hub.db.engine.connect() as connection:
        statement = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        return int(connection.exec_driver_sql(statement).scalar() or 0)


def count_statements(server: PostgresServer) -> Counter[str]:
    """Statements logged so far, by who sent them: the hub's own code, or the engine."""
    return Counter("engine" if name.startswith("dbos") else "hub" for name, _ in LOGGED.findall(server.log()))


def measure_statements(hub: Hub, server: PostgresServer, content: bytes, files: int, idle_s: float, done: int) -> None:
    """Of one worker: per second while it has nothing to do, and per job beyond that."""
    for setting in ("log_statement = 'all'", "log_line_prefix = '@%a@ '"):
        server.execute(f"ALTER SYSTEM SET {setting}")
    server.execute("SELECT pg_reload_conf()")
    digests = put_files(hub, content, done, files)
    with running(hub, 1):
        hub.db.close()
        before = count_statements(server)
        time.sleep(idle_s)
        idle = count_statements(server) - before
        hub.db.close()
        before, begun = count_statements(server), time.monotonic()
        queue(hub, digests)
        while not is_quiet(hub.settings.objects, done + files):
            time.sleep(0.1)
        busy, seconds = count_statements(server) - before, time.monotonic() - begun
    for who in ("hub", "engine"):
        per_s = idle[who] / idle_s
        per_job = max(0.0, busy[who] - (per_s * seconds if who == "engine" else 0)) / files
        print(f"| {who} | {per_s:.1f} | {per_job:.1f} |")


def is_quiet(objects: Path, containers: int) -> bool:
    """Seen from the store, so that looking adds no statements; the last swap is a moment after its object."""
    found = sum(1 for path in (objects / "blobs" / "container").rglob("*") if path.is_file())
    if found < containers:
        return False
    time.sleep(0.5)
    return True


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=60)
    parser.add_argument("--idle-s", type=float, default=20)
    options = parser.parse_args()
    server = PostgresServer(durable=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            url = server.create_database("hub")
            upgrade(url)
            hub = open_hub(Settings(data=Path(folder) / "hub", database_url=url, min_free_nbytes=0))
            content = source(Path(folder))
            print(f"{machine_line()}; {options.files} files of {len(content) / 1e6:.1f} MB\n")
            print("| workers | jobs/s | MB/s | transactions per job |\n|---:|---:|---:|---:|")
            done = 0
            for workers in (1, 2):
                r = encode_all(hub, server, workers, content, options.files, done)
                done += workers + options.files
                rates = f"{r.jobs / r.seconds:.2f} | {r.nbytes / 1e6 / r.seconds:.0f} | {r.transactions / r.jobs:.1f}"
                print(f"| {workers} | {rates} |", flush=True)
            print("\n| statements of | per second, idle worker | per job |\n|---|---:|---:|")
            measure_statements(hub, server, content, options.files, options.idle_s, done)
            hub.db.close()
    finally:
        server.close()


if __name__ == "__main__":
    main()
