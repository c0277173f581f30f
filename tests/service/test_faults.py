"""Faults of workers and of what they stand on, with real processes: work finishes, nothing is lost or served wrong.

`make test-faults` runs these in a loop.
"""

from __future__ import annotations

import hashlib
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from postgres import PostgresServer
from pusher import Pusher, check, stop_and_check
from worker_process import WorkerProcess

from freebits_service.collection.operations import collect
from freebits_service.context import open_hub
from freebits_service.db import Database
from freebits_service.migrate import upgrade
from freebits_service.settings import Settings

pytestmark = pytest.mark.fault
DEADLINE_S = 90.0
MIB = 1 << 20
LARGE = random.Random(9).randbytes(MIB) + bytes(range(64)) * (31 * MIB // 64)
TRIES = 6
HUB = ("--no-worker", "--part-nbytes", str(8 * MIB))


StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def make_worker(tmp_path: Path) -> Iterator[StartWorker]:
    """Workers beside a hub process; all are killed at the end."""
    made: list[WorkerProcess] = []

    def make(served: Any, *flags: str, limits: Callable[[], None] | None = None) -> WorkerProcess:
        usual = {
            "--data": str(served.data),
            "--job-poll-s": "0.1",
            "--heartbeat-s": "0.3",
            "--worker-dead-after-s": "3",
            "--job-backoff-s": "0.1",
            "--encode-min-nbytes": "1",
            "--min-free-nbytes": "0",
        }
        given = dict(zip(flags[::2], flags[1::2], strict=True))
        arguments = [part for pair in {**usual, **given}.items() for part in pair]
        made.append(WorkerProcess(arguments, served.database_url, tmp_path / f"worker{len(made)}.log", limits))
        return made[-1]

    yield make
    for each in made:
        with suppress(psutil.NoSuchProcess):
            each.signal(signal.SIGCONT)
        each.kill()


@pytest.fixture
def pushed_to(make_process: Callable[..., Any], connect: Callable[..., Any]) -> tuple[Any, Any, str]:
    """A hub process without a worker, a client of it, and a repo."""
    served = make_process(*HUB)
    served.start()
    client = connect(served)
    return served, client, client.new_repo()


@pytest.fixture
def ready_worker(make_worker: StartWorker) -> Callable[[Any], WorkerProcess]:
    """Start a worker and wait until it takes jobs."""

    def start(served: Any) -> WorkerProcess:
        worker = make_worker(served)
        wait_for(lambda: worker.lines("worker ready"), "the worker")
        return worker

    return start


def wait_for(condition: Callable[[], Any], what: str, every_s: float = 0.02) -> Any:
    """The first true value of `condition`."""
    deadline = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {DEADLINE_S:.0f} s: {what}"
        time.sleep(every_s)
    return value


def jobs(client: Any) -> list[dict[str, Any]]:
    """All jobs, oldest first."""
    items: list[dict[str, Any]] = client.get("/jobs", params={"limit": 1000}).json()["items"]
    return items[::-1]


def wait_done(client: Any, number: int) -> list[dict[str, Any]]:
    """So many jobs, all done."""
    return wait_for(  # type: ignore[no-any-return]
        lambda: (found := jobs(client)) and len(found) == number and all(j["state"] == "done" for j in found) and found,
        f"{number} jobs to be done",
        0.1,
    )


def check_content(client: Any, repo: str, files: dict[str, bytes]) -> None:
    """Bit for bit."""
    for path, content in files.items():
        reply = client.resolve(repo, path)
        assert reply.status_code == 200, reply.text
        assert hashlib.sha256(reply.content).digest() == hashlib.sha256(content).digest(), path


def push_large(client: Any, repo: str, number: int) -> dict[str, bytes]:
    """One more large file in a commit of its own."""
    files = {f"large{number}": number.to_bytes(8, "little") + LARGE}
    client.push(repo, files, client.get(f"/repos/{repo}").json()["head"])
    return files


def test_a_worker_killed_in_the_middle(
    pushed_to: tuple[Any, Any, str],
    make_worker: StartWorker,
    ready_worker: StartWorker,
) -> None:
    """Another worker takes over where it was: what was encoded is not encoded again."""
    served, client, repo = pushed_to
    pushed: dict[str, bytes] = {}
    for number in range(TRIES):
        first = ready_worker(served)
        pushed |= push_large(client, repo, number)
        wait_for(lambda worker=first: worker.lines("verifying"), "the check of what was encoded", 0.002)
        first.signal(signal.SIGSTOP)
        job = jobs(client)[-1]
        first.kill()
        if job["state"] == "running":
            break
    else:
        pytest.fail("the worker was always faster than the kill")
    second = make_worker(served)
    [*_, done] = wait_done(client, number + 1)
    assert (done["attempt"], done["failures"], done["handovers"], done["outcome"]) == (1, 0, 1, "encoded")
    assert done["worker"] == second.lines("worker ready")[0]["worker"]
    assert [line["job_id"] for line in second.lines("encoding")] == []
    assert [line["job_id"] for line in second.lines("verifying")] == [done["id"]]
    check_content(client, repo, pushed)


def test_a_worker_killed_while_encoding(pushed_to: tuple[Any, Any, str], ready_worker: StartWorker) -> None:
    """A living worker notices the silence and does the step again."""
    served, client, repo = pushed_to
    first = ready_worker(served)
    pushed = push_large(client, repo, 0)
    wait_for(lambda: first.lines("encoding"), "encoding", 0.002)
    first.signal(signal.SIGSTOP)
    ready_worker(served)
    first.kill()
    wait_done(client, 1)
    check_content(client, repo, pushed)


@pytest.mark.parametrize("step", ["encoding", "verifying", "swapping"])
@pytest.mark.parametrize("engine_name", ["postgres"], indirect=True)
def test_a_zombie_wakes_up(
    pushed_to: tuple[Any, Any, str],
    make_worker: StartWorker,
    ready_worker: StartWorker,
    step: str,
) -> None:
    """A worker that stood still until its job was handed on and done changes nothing, and works on."""
    served, client, repo = pushed_to
    zombie = ready_worker(served)
    pushed = push_large(client, repo, 0)
    wait_for(lambda: zombie.lines(step), step, 0.002)
    zombie.signal(signal.SIGSTOP)
    other = make_worker(served)
    wait_done(client, 1)
    zombie.signal(signal.SIGCONT)
    other.process.send_signal(signal.SIGTERM)
    assert other.process.wait(60) == 0
    pushed |= push_large(client, repo, 1)
    done = wait_done(client, 2)
    assert done[1]["worker"] == zombie.lines("worker ready")[0]["worker"]
    hub = open_hub(Settings(data=served.data, database_url=served.database_url, grace_s=0))
    collect(hub, least_grace_s=0)
    hub.db.close()
    check_content(client, repo, pushed)
    assert {job["outcome"] for job in done} == {"encoded"}


@pytest.mark.parametrize("engine_name", ["postgres"], indirect=True)
def test_an_attempt_the_engine_broke_off(pushed_to: tuple[Any, Any, str], ready_worker: StartWorker) -> None:
    """The engine cannot record a step: its living worker notices, and the job begins again with no failure counted."""
    served, client, repo = pushed_to
    worker = ready_worker(served)
    pushed = push_large(client, repo, 0)
    wait_for(lambda: worker.lines("encoding"), "encoding", 0.002)
    schema = Settings().engine_schema
    database = Database(served.database_url)
    with database.engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER SCHEMA {schema} RENAME TO elsewhere")
    wait_for(lambda: worker.lines("an attempt ended early"), "the attempt to break off")
    with database.engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER SCHEMA elsewhere RENAME TO {schema}")
    database.close()
    [done] = wait_done(client, 1)
    assert (done["attempt"], done["failures"], done["outcome"]) == (2, 0, "encoded")
    assert worker.process.poll() is None
    check_content(client, repo, pushed)


def test_three_workers_share_the_work(
    make_process: Callable[..., Any], connect: Callable[..., Any], make_worker: StartWorker
) -> None:
    """Started all at once on an engine without tables; every job is done once, by one of them."""
    served = make_process("--no-worker")
    served.start()
    client = connect(served)
    repo = client.new_repo()
    files = {f"f{n:02}": n.to_bytes(2, "little") * 40_000 for n in range(24)}
    client.push(repo, files)
    workers = [make_worker(served) for _ in range(3)]
    done = wait_done(client, len(files))
    assert {(job["attempt"], job["failures"], job["handovers"]) for job in done} == {(1, 0, 0)}
    begun = [line["job_id"] for worker in workers for line in worker.lines("encoding")]
    assert sorted(begun) == sorted(job["id"] for job in done)
    request_ids = {line["request_id"] for worker in workers for line in worker.lines("swapping")}
    assert request_ids == {done[0]["request_id"]}
    check_content(client, repo, files)


def test_sigterm_hands_the_job_back(
    pushed_to: tuple[Any, Any, str],
    make_worker: StartWorker,
    ready_worker: StartWorker,
) -> None:
    """At once, with no failure counted; the next worker begins it again."""
    served, client, repo = pushed_to
    first = ready_worker(served)
    for number in range(TRIES):
        pushed = push_large(client, repo, number)
        wait_for(lambda worker=first: worker.lines("encoding"), "encoding", 0.002)
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(60) == 0
        job = jobs(client)[-1]
        if job["state"] == "queued":
            break
        first = ready_worker(served)
    assert (job["state"], job["attempt"], job["failures"], job["worker"]) == ("queued", 1, 0, None)
    assert client.get("/workers").json()["items"] == []
    make_worker(served)
    done = wait_done(client, number + 1)[-1]
    assert (done["attempt"], done["failures"], done["handovers"]) == (2, 0, 0)
    check_content(client, repo, pushed)


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
    check_content(client, repo, pushed)
    full.process.send_signal(signal.SIGTERM)
    assert full.process.wait(60) == 0
    make_worker(served)
    [done] = wait_done(client, 1)
    assert done["failures"] == 0
    check_content(client, repo, pushed)


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
