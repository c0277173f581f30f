"""Encoding of blobs: step by step, repeated, failing, cancelled."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from freebits_codecs import encode
from freebits_service.collection.operations import collect
from freebits_service.context import Hub
from freebits_service.jobs import queries
from freebits_service.models import Blob, Job
from freebits_service.workers.encode import EncodeSteps
from freebits_service.workers.encoder import EncodingFailed

CONTENT = b"0123456789abcdef" * 30_000
NOISE = random.Random(1).randbytes(100_000)


def job_of(hub: Hub) -> Job:
    """The only job."""
    with hub.db.snapshot() as session:
        return session.scalars(select(Job)).one()


def blob_of(hub: Hub) -> Blob:
    """The only blob."""
    with hub.db.snapshot() as session:
        return session.scalars(select(Blob)).one()


def claim(hub: Hub, worker_id: str = "w1") -> Job:
    """Take the next job, whatever it waits for."""
    with hub.db.transaction() as session:
        session.execute(update(Job).values(not_before=Job.created_at))
        job = queries.claim_job(session, ["cpu"], worker_id)
        assert job is not None
        return job


def run_all(steps: EncodeSteps) -> None:
    """All steps of the next attempt, each twice, as after crashes."""
    job = claim(steps.hub)
    attempt = job.attempt
    container = steps.encode(job.id, attempt)
    if container is not None:
        for step in (steps.verify, steps.verify, steps.swap, steps.swap):
            step(job.id, attempt, container)


def test_a_blob_is_encoded_verified_and_swapped(hub: Hub, client: Any, steps: EncodeSteps) -> None:
    """Readable before and after with the same bytes; the raw copy goes with the collector, not before."""
    repo = client.new_repo()
    client.push(repo, {"a": CONTENT})
    assert client.resolve(repo, "a").headers["x-freebits-state"] == "encoding"
    run_all(steps)
    blob = blob_of(hub)
    assert (blob.state, job_of(hub).state, job_of(hub).outcome) == ("encoded", "done", "encoded")
    assert blob.raw_key is not None
    assert hub.store.stat(blob.raw_key).nbytes == len(CONTENT)
    reply = client.resolve(repo, "a")
    assert reply.content == CONTENT
    assert reply.headers["x-freebits-state"] == "encoded"
    assert int(reply.headers["x-freebits-stored-nbytes"]) < len(CONTENT)
    assert collect(hub, least_grace_s=0).raw_copies == 1
    assert [found.name for found in hub.store.list("blobs/")] == [blob.container_key]
    assert client.resolve(repo, "a").content == CONTENT
    assert list(hub.store.list_staged()) == []


def test_what_does_not_shrink_stays_raw(hub: Hub, client: Any, steps: EncodeSteps) -> None:
    """Noise is kept as it is and says so."""
    repo = client.new_repo()
    client.push(repo, {"a": NOISE})
    run_all(steps)
    assert (blob_of(hub).state, job_of(hub).state) == ("raw", "done")
    assert "not make it smaller" in job_of(hub).outcome
    assert client.resolve(repo, "a").content == NOISE
    assert list(hub.store.list_staged()) == []


def test_an_old_attempt_changes_nothing(hub: Hub, client: Any, steps: EncodeSteps) -> None:
    """A zombie that wakes after its job was handed on neither swaps nor leaves objects."""
    client.push(client.new_repo(), {"a": CONTENT})
    job = claim(hub)
    old = steps.encode(job.id, 1)
    assert old is not None
    steps.record_failure(job.id, 1, EncodingFailed("given up by the sweeper"))
    claim(hub)
    new = steps.encode(job.id, 2)
    assert new is not None
    steps.verify(job.id, 1, old)
    steps.swap(job.id, 1, old)
    assert blob_of(hub).state == "encoding"
    steps.verify(job.id, 2, new)
    steps.swap(job.id, 2, new)
    assert blob_of(hub).state == "encoded"
    assert blob_of(hub).container_key == new["key"]
    assert steps.encode(job.id, 3) is None


def test_a_damaged_raw_object_is_never_encoded(hub: Hub, client: Any, steps: EncodeSteps) -> None:
    """A poison job is tried, parked with its error, and what there is stays served."""
    repo = client.new_repo()
    client.push(repo, {"a": CONTENT})
    raw = hub.settings.objects / (blob_of(hub).raw_key or "")
    raw.write_bytes(b"?" + CONTENT[1:])
    for attempt in range(1, hub.settings.job_max_attempts + 1):
        job = claim(hub)
        with pytest.raises(EncodingFailed, match="SHA-256") as failure:
            steps.encode(job.id, attempt)
        steps.record_failure(job.id, attempt, failure.value)
    parked = job_of(hub)
    assert (parked.state, parked.failures) == ("parked", hub.settings.job_max_attempts)
    assert "SHA-256" in parked.outcome
    assert blob_of(hub).state == "raw"
    raw.write_bytes(CONTENT)
    assert client.post(f"/jobs/{job.id}/retry").status_code == 204
    run_all(steps)
    assert client.resolve(repo, "a").content == CONTENT
    assert blob_of(hub).state == "encoded"


def test_a_container_damaged_before_the_check_is_refused(hub: Hub, client: Any, steps: EncodeSteps) -> None:
    """Nothing is swapped unless what is stored decodes to the original."""
    client.push(client.new_repo(), {"a": CONTENT})
    container = steps.encode(claim(hub).id, 1)
    assert container is not None
    [staged] = (hub.settings.objects / "staging").iterdir()
    damaged = bytearray(staged.read_bytes())
    damaged[60] ^= 1
    staged.write_bytes(damaged)
    with pytest.raises(EncodingFailed):
        steps.verify(job_of(hub).id, 1, container)
    assert blob_of(hub).state == "encoding"


def test_a_dead_encoder_is_replaced(hub: Hub, client: Any, steps: EncodeSteps) -> None:
    """After the crash of the child process the next task gets a new one."""
    client.push(client.new_repo(), {"a": CONTENT})
    job = claim(hub)
    container = steps.encode(job.id, 1)
    assert container is not None
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
    steps.record_failure(job.id, 1, EncodingFailed("the test killed it"))
    run_all(steps)
    assert blob_of(hub).state == "encoded"


def test_a_cancelled_job_stops_and_the_blob_stays(hub: Hub, client: Any, steps: EncodeSteps) -> None:
    """The worker learns of it at its next step."""
    client.push(client.new_repo(), {"a": CONTENT})
    job = claim(hub)
    container = steps.encode(job.id, 1)
    assert container is not None
    assert client.post(f"/jobs/{job.id}/cancel").status_code == 204
    steps.swap(job.id, 1, container)
    assert (blob_of(hub).state, job_of(hub).state) == ("raw", "cancelled")
    assert [found.name for found in hub.store.list("blobs/")] == [blob_of(hub).raw_key]


def test_a_client_may_send_the_container_of_a_raw_blob(hub: Hub, client: Any, steps: EncodeSteps) -> None:
    """Then the job is not needed any more."""
    client.push(client.new_repo(), {"a": CONTENT})
    bob = client.new_user("bob")
    repo = bob.new_repo("bob/own", "private")
    client.request("PATCH", "/repos/admin/model", json={"visibility": "private"})
    bob.upload(repo, CONTENT, stored=encode(CONTENT, sha256=True))
    assert (blob_of(hub).state, job_of(hub).state) == ("encoded", "cancelled")
    assert steps.encode(job_of(hub).id, 1) is None
    assert client.resolve("admin/model", "a").content == CONTENT


def test_small_files_make_no_jobs(make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any]) -> None:
    """Below the limit of the settings a container could only be larger."""
    hub = make_hub(encode_min_nbytes=1000)
    client = make_client(hub)
    client.push(client.new_repo(), {"a": b"x" * 999})
    assert client.get("/jobs").json()["items"] == []
    assert blob_of(hub).state == "raw"
