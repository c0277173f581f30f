"""What workers stand on goes away: they wait for it, and nothing is lost or served wrong.

`make test-faults` runs these in a loop; outages of the S3 store are in ``tests/flows/test_s3.py``.
"""

from __future__ import annotations

import random
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from job_waiting import MIB, jobs, push_large, wait_done, wait_for
from postgres import PostgresServer
from pusher import Pusher, check, stop_and_check
from worker_process import WorkerProcess

from freebits_service.migrate import upgrade

pytestmark = pytest.mark.fault
StartWorker = Callable[..., WorkerProcess]


@pytest.mark.parametrize("engine_name", ["postgres"], indirect=True)
def test_a_full_disk(pushed_to: tuple[Any, Any, str], make_worker: StartWorker) -> None:
    """The job waits as long as it takes, no failure is counted, and it finishes when there is room."""
    served, client, repo = pushed_to

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB // 2, MIB // 2))

    full = make_worker(served, limits=little_room)
    pushed = push_large(client, repo, 0)
    wait_for(lambda: len(full.lines("an attempt failed")) > 5, "six attempts")
    [job] = jobs(client)
    assert job["failures"] == 0
    assert "StorageFull" in job["outcome"]
    check(client, repo, pushed)
    full.process.send_signal(signal.SIGTERM)
    assert full.process.wait(60) == 0
    make_worker(served)
    [done] = wait_done(client, 1)
    assert done["failures"] == 0
    check(client, repo, pushed)


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_postgres_killed_and_started_again(
    make_process: Callable[..., Any],
    connect: Callable[..., Any],
    make_worker: StartWorker,
    tmp_path: Path,
) -> None:
    """``kill -9`` of a durable server during pushes and encoding: what was acknowledged is there, work finishes."""
    server = PostgresServer(durable=True)
    try:
        url = server.create_database("hub")
        upgrade(url)
        served = make_process("--no-worker")
        served.database_url = url
        served.start()
        workers = [make_worker(served) for _ in range(2)]
        client = connect(served)
        repo = client.new_repo()
        pusher = Pusher(connect(served), repo)
        pusher.start()
        rng = random.Random()
        for _ in range(3):
            time.sleep(rng.uniform(0.5, 3))
            server.kill()
            time.sleep(rng.uniform(0, 1.5))
            server.start()
            wait_for(lambda: client.get("/whoami").status_code == 200, "the hub to answer again")
            check(client, repo, dict(pusher.committed))
        stop_and_check(pusher, client)
        assert all(worker.process.poll() is None for worker in workers)
        assert {job["state"] for job in jobs(client)} == {"done"}
        served.end(signal.SIGKILL)
    finally:
        for worker in workers:
            worker.kill()
        server.close()


def test_postgres_killed_while_workers_start(tmp_path: Path) -> None:
    """Whatever step of its beginning a worker is at: it waits for the database, and then it is ready."""
    server = PostgresServer(durable=True)
    workers: list[WorkerProcess] = []
    try:
        url = server.create_database("hub")
        upgrade(url)
        flags = ["--data", str(tmp_path / "data")]
        for number in range(4):
            workers += [WorkerProcess(flags, url, tmp_path / f"worker-{number}-{twin}.log") for twin in range(2)]
            time.sleep(random.uniform(0.8, 2.5))
            server.kill()
            time.sleep(0.5)
            server.start()
        for worker in workers:
            wait_for(lambda worker=worker: worker.lines("worker ready"), "the worker to be ready")
            assert worker.process.poll() is None
    finally:
        for worker in workers:
            worker.kill()
        server.close()
