"""Jobs as people see them: order, who may see what, workers, the request that asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, update

from freebits_service.context import Hub
from freebits_service.jobs import queries, worker_rows
from freebits_service.models import Job, Worker
from freebits_service.models.jobs import BACKGROUND
from freebits_service.workers.dispatch import WorkerIdentity
from freebits_service.workers.encode import EncodeSteps
from freebits_service.workers.encoder import EncoderDied, EncoderProcess

CONTENT = b"0123456789abcdef" * 5_000


def claim(hub: Hub, worker: str = "w", queues: tuple[str, ...] = ("cpu",)) -> Job | None:
    """Take the next due job."""
    return hub.db.run(lambda session: queries.claim_job(session, queues, worker))


def push_some(client: Any, repo: str, number: int) -> list[str]:
    """Push so many files in one commit; their paths."""
    files = {f"f{n:03}": CONTENT + str(n).encode() for n in range(number)}
    client.push(repo, files)
    return list(files)


def test_a_job_tells_what_it_is(hub: Hub, client: Any) -> None:
    """Repo, path, size, priority, progress."""
    repo = client.new_repo()
    client.upload(repo, CONTENT)
    reply = client.commit(repo, {"a/b": CONTENT})
    assert reply.status_code == 201
    [job] = client.get("/jobs").json()["items"]
    assert (job["repo"], job["path"], job["nbytes"]) == (repo, "a/b", len(CONTENT))
    assert (job["state"], job["priority"], job["worker"]) == ("queued", 0, None)
    assert client.get(f"/jobs/{job['id']}").json() == job
    assert client.get("/jobs/999").json()["code"] == "JOB_NOT_FOUND"


def test_the_request_that_asked_is_on_the_job(hub: Hub, client: Any) -> None:
    """And every line a worker logs for it carries the same id."""
    repo = client.new_repo()
    client.upload(repo, CONTENT)
    reply = client.commit(repo, {"a": CONTENT})
    job = claim(hub)
    assert job is not None
    assert job.request_id == reply.headers["x-request-id"]


def test_pushes_go_before_the_background(hub: Hub, client: Any) -> None:
    """By priority, then by age; what waits for its next attempt is passed over."""
    push_some(client, client.new_repo(), 4)
    with hub.db.transaction() as session:
        session.execute(update(Job).where(Job.id <= 2).values(priority=BACKGROUND))
        session.execute(update(Job).where(Job.id == 3).values(not_before=queries.in_seconds(3600)))
    taken = [claim(hub) for _ in range(4)]
    assert [job.id if job else None for job in taken] == [4, 1, 2, None]
    assert all(job.state == "running" and job.attempt == 1 and job.started_at for job in taken if job)


def test_a_worker_takes_from_its_queues_only(make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any]) -> None:
    """In the order in which it names them."""
    hub = make_hub(encode_queue="gpu")
    push_some(make_client(hub), make_client(hub).new_repo(), 1)
    assert claim(hub, queues=("cpu",)) is None
    assert claim(hub, queues=("cpu", "gpu")) is not None


def test_no_job_is_taken_twice(hub: Hub, client: Any) -> None:
    """Eight workers that grab at once get every job once."""
    push_some(client, client.new_repo(), 40)
    together = threading.Barrier(8)

    def grab(number: int) -> list[int]:
        together.wait()
        taken = []
        while (job := claim(hub, f"w{number}")) is not None:
            taken.append(job.id)
        return taken

    with ThreadPoolExecutor(8) as pool:
        taken = [job_id for some in pool.map(grab, range(8)) for job_id in some]
    assert sorted(taken) == list(range(1, 41))


def test_only_the_holder_may_go_on(hub: Hub, client: Any) -> None:
    """After the worker was taken for dead its statements find nothing, until somebody else's do."""
    push_some(client, client.new_repo(), 1)
    me = WorkerIdentity("w", "host", 1, "cpu", ("cpu",))
    hub.db.run(lambda session: worker_rows.heartbeat(session, me))
    assert claim(hub) is not None
    assert hub.db.run(lambda session: queries.set_progress(session, 1, 1, "w", 5))
    assert hub.db.run(lambda session: worker_rows.bury_workers(session, ["w"], 10)) == (1, 0)
    assert not hub.db.run(lambda session: queries.set_progress(session, 1, 1, "w", 6))
    assert hub.db.run(lambda session: queries.adopt_attempt(session, 1, 1, "other")) is not None
    assert hub.db.run(lambda session: queries.adopt_attempt(session, 1, 1, "w")) is None
    assert hub.db.run(lambda session: queries.hold_attempt(session, 1, 1, "w")) is None
    assert hub.db.run(lambda session: queries.hold_attempt(session, 1, 1, "other")) is not None


def test_a_job_that_kills_its_workers_is_parked(hub: Hub, client: Any) -> None:
    """Not tried without end; says why; a retry begins from a clean slate."""
    push_some(client, client.new_repo(), 1)
    assert claim(hub) is not None
    for number in range(3):
        freed = hub.db.run(lambda session, n=number: worker_rows.bury_workers(session, [f"w{n}" if n else "w"], 3))
        assert freed == ((1, 0) if number < 2 else (0, 1))
        hub.db.run(lambda session, n=number: queries.adopt_attempt(session, 1, 1, f"w{n + 1}"))
    job = client.get("/jobs/1").json()
    assert (job["state"], job["handovers"]) == ("parked", 3)
    assert "WorkerDied" in job["outcome"]
    assert client.post("/jobs/1/retry").status_code == 204
    assert claim(hub) is not None


def test_a_file_that_crashes_the_encoder_is_parked(hub: Hub, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child process dies each time (out of memory, a crash of native code): after some tries nobody tries more."""
    push_some(client, client.new_repo(), 1)
    encoder = EncoderProcess(hub.settings)
    steps = EncodeSteps(hub, encoder, "w")

    def dies(*_: object) -> None:
        process = encoder._process
        assert process is not None
        process.kill()

    real = encoder._connected

    def connected() -> Any:
        connection = real()
        dies()
        return connection

    monkeypatch.setattr(encoder, "_connected", connected)
    for _ in range(hub.settings.job_max_attempts):
        with hub.db.transaction() as session:
            session.execute(update(Job).values(not_before=Job.created_at))
        job = claim(hub)
        assert job is not None
        with pytest.raises(EncoderDied, match="-9") as died:
            steps.encode(job.id, job.attempt)
        steps.record_failure(job.id, job.attempt, died.value)
    shown = client.get("/jobs/1").json()
    assert (shown["state"], shown["failures"]) == ("parked", hub.settings.job_max_attempts)
    assert "EncoderDied" in shown["outcome"]
    assert client.resolve("admin/model", "f000").status_code == 200


def test_owners_see_the_jobs_of_their_repos(hub: Hub, client: Any) -> None:
    """Not those of others; nor in whose repo the same content was first."""
    bob, eve = client.new_user("bob"), client.new_user("eve")
    client.push(client.new_repo("admin/hidden", "private"), {"secret-name": CONTENT})
    bob.push(bob.new_repo("bob/own", "private"), {"mine": CONTENT})
    bob.push("bob/own", {"more": CONTENT + b"2"}, bob.get("/repos/bob/own").json()["head"])
    assert [job["path"] for job in client.get("/jobs").json()["items"]] == ["more", "secret-name"]
    seen = bob.get("/jobs").json()["items"]
    assert [(job["repo"], job["path"]) for job in seen] == [("bob/own", "more"), (None, None)]
    assert bob.get(f"/jobs/{seen[1]['id']}").json()["sha256"] == seen[1]["sha256"]
    assert eve.get("/jobs").json()["items"] == []
    assert eve.get(f"/jobs/{seen[0]['id']}").status_code == 404
    assert client.as_user(None).get("/jobs").status_code == 401
    assert bob.post(f"/jobs/{seen[0]['id']}/cancel").status_code == 403


def test_jobs_are_listed_page_by_page(hub: Hub, client: Any) -> None:
    """Newest first, each once."""
    push_some(client, client.new_repo(), 7)
    found, after = [], None
    while True:
        page = client.get("/jobs", params={"limit": 3, **({"after": after} if after else {})}).json()
        found += [job["id"] for job in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert found == [7, 6, 5, 4, 3, 2, 1]


def test_workers_are_listed_for_admins(hub: Hub, client: Any) -> None:
    """Where they run, what for, what they are at, and whether they live."""
    push_some(client, client.new_repo(), 1)
    me = WorkerIdentity("gpubox-7-ab", "gpubox", 7, "cuda:0", ("gpu", "cpu"))
    for _ in range(2):
        hub.db.run(lambda session: worker_rows.heartbeat(session, me))
    assert claim(hub, "gpubox-7-ab", ("gpu", "cpu")) is not None
    [shown] = client.get("/workers").json()["items"]
    assert (shown["host"], shown["device"], shown["queues"]) == ("gpubox", "cuda:0", ["gpu", "cpu"])
    assert (shown["alive"], shown["job"]) == (True, 1)
    with hub.db.transaction() as session:
        session.execute(update(Worker).values(heartbeat_at=queries.in_seconds(-3600)))
    assert client.get("/workers").json()["items"][0]["alive"] is False
    assert client.new_user("bob").get("/workers").status_code == 403


def test_what_is_queued_again_loses_its_worker(hub: Hub, client: Any) -> None:
    """A worker that ends in good order releases its job at once, with no failure counted."""
    push_some(client, client.new_repo(), 1)
    assert claim(hub) is not None
    assert hub.db.run(lambda session: queries.release_attempts(session, "w")) == [(1, 1)]
    with hub.db.snapshot() as session:
        job = session.scalars(select(Job)).one()
        assert (job.state, job.failures, job.worker_id) == ("queued", 0, None)
    again = claim(hub, "other")
    assert again is not None
    assert again.attempt == 2
