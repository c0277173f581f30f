"""Workers that are killed, stopped, frozen: their work finishes elsewhere, nothing is lost or served wrong.

`make test-faults` runs these in a loop.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from job_waiting import jobs, push_large, wait_done, wait_for
from pusher import check
from worker_process import WorkerProcess

from freebits_service.collection.operations import collect
from freebits_service.context import open_hub
from freebits_service.db import Database
from freebits_service.settings import Settings

pytestmark = pytest.mark.fault
StartWorker = Callable[..., WorkerProcess]
TRIES = 6


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
    check(client, repo, pushed)


def test_a_worker_killed_while_encoding(pushed_to: tuple[Any, Any, str], ready_worker: StartWorker) -> None:
    """A living worker notices the silence and does the step again."""
    served, client, repo = pushed_to
    workers = [ready_worker(served), ready_worker(served)]
    pushed = push_large(client, repo, 0)
    [killed] = wait_for(lambda: [each for each in workers if each.lines("encoding")], "encoding", 0.002)
    killed.kill()
    workers.remove(killed)
    [done] = wait_done(client, 1)
    assert (done["attempt"], done["handovers"], done["outcome"]) == (1, 1, "encoded")
    assert workers[0].lines("encoding")
    check(client, repo, pushed)


@pytest.mark.parametrize("step", ["encoding", "verifying", "swapping"])
@pytest.mark.parametrize("engine_name", ["postgres"], indirect=True)
def test_a_zombie_wakes_up(
    pushed_to: tuple[Any, Any, str],
    ready_worker: StartWorker,
    step: str,
) -> None:
    """A worker that stood still until its job was handed on and done changes nothing, and works on."""
    served, client, repo = pushed_to
    # It may freeze in a transaction; the server ends that after a minute, here sooner.
    ends_soon = quote("-c idle_in_transaction_session_timeout=5000")
    url, served.database_url = served.database_url, f"{served.database_url}&options={ends_soon}"
    zombie = ready_worker(served)
    served.database_url = url
    pushed = push_large(client, repo, 0)
    wait_for(lambda: zombie.lines(step), step, 0.002)
    zombie.signal(signal.SIGSTOP)
    other = ready_worker(served)  # ready: the zombie may have swapped before it stood still, and it is stopped then
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
    check(client, repo, pushed)
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
    check(client, repo, pushed)


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
    check(client, repo, files)


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
    check(client, repo, pushed)
