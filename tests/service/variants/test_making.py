"""Variants made step by step: what a revision of one holds, what it costs, and what parks a job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from safetensors.numpy import load
from sqlalchemy import select, update
from variant_asking import (
    METHOD,
    MODEL,
    SOURCE,
    ask,
    blob_of,
    claim_variant,
    run_variant,
    scratch_files,
    variant_job,
)

from freebits_service.collection.operations import collect
from freebits_service.context import Hub
from freebits_service.models import Blob, Repo
from freebits_service.workers.encoder import EncodingFailed, Refused
from freebits_service.workers.variant import VariantSteps

MakeVariant = Callable[..., dict[str, Any]]


def test_a_variant_is_a_revision(hub: Hub, client: Any, repo: str, variant_steps: VariantSteps) -> None:
    """The files of its source, the model in another form of the same names and shapes, and a report."""
    head = client.get(f"/repos/{repo}").json()["head"]
    ask(client, repo)
    run_variant(variant_steps, times=2)
    [listed] = client.get(f"/repos/{repo}/variants").json()["items"]
    assert (listed["branch"], listed["source"], listed["is_head"], listed["author"]) == (METHOD, head, True, "admin")
    assert listed["after_nbytes"] < listed["before_nbytes"]
    [commit, parent] = client.get(f"/repos/{repo}/commits/{METHOD}").json()["items"]
    assert (commit["id"], commit["author"], commit["message"]) == (listed["commit"], "admin", f"{METHOD} of {head}")
    assert parent["id"] == head
    assert client.get(f"/repos/{repo}").json()["head"] == head
    entries = client.get(f"/repos/{repo}/tree/{METHOD}?recursive=true").json()["items"]
    assert {entry["path"] for entry in entries} == {*SOURCE, "freebits-report.json"}
    assert client.resolve(repo, "folder/notes.txt", METHOD).content == SOURCE["folder/notes.txt"]
    assert client.resolve(repo, "model.safetensors").content == MODEL
    plain = client.resolve(repo, "model.safetensors", METHOD).content
    assert plain != MODEL
    shapes = [{name: tensor.shape for name, tensor in load(data).items()} for data in (plain, MODEL)]
    assert shapes[0] == shapes[1]
    report = client.resolve(repo, "freebits-report.json", METHOD).json()
    assert (report["method"], report["hub"]["source"], report["hub"]["repo"]) == (METHOD, head, repo)
    assert (report["bytes"]["lossless"], report["bytes"]["stored"]) == (listed["before_nbytes"], listed["after_nbytes"])
    assert variant_job(hub).outcome == f"the branch is at {listed['commit']}"
    assert scratch_files(hub) == []
    assert list(hub.store.list_staged()) == []


def test_one_more_variant_follows_on_its_branch(client: Any, repo: str, make_variant: MakeVariant) -> None:
    """Of another source; and two methods may share a branch."""
    first = make_variant(repo)
    head = client.get(f"/repos/{repo}").json()["head"]
    client.push(repo, {"config.json": b'{"changed": 1}'}, head)
    second = make_variant(repo)
    assert second["source"] != first["source"]
    history = [commit["id"] for commit in client.get(f"/repos/{repo}/commits/{METHOD}").json()["items"]]
    assert history[:2] == [second["commit"], first["commit"]]
    assert client.resolve(repo, "config.json", METHOD).content == b'{"changed": 1}'
    third = make_variant(repo, "gauge-polar", to=METHOD)
    assert (third["is_head"], third["branch"]) == (True, METHOD)


def test_the_namespace_pays_as_for_an_upload(
    hub: Hub, client: Any, repo: str, make_variant: MakeVariant, variant_steps: VariantSteps
) -> None:
    """Original and stored bytes; a quota that does not allow it parks the job at once."""
    before = client.get("/namespaces/admin/usage").json()
    make_variant(repo)
    after = client.get("/namespaces/admin/usage").json()
    plain = client.resolve(repo, "model.safetensors", METHOD).content
    report = client.resolve(repo, "freebits-report.json", METHOD).content
    assert after["logical_nbytes"] - before["logical_nbytes"] == len(plain) + len(report)
    stored = (blob_of(hub, plain).container_nbytes or 0) + len(report)
    assert after["stored_nbytes"] - before["stored_nbytes"] == stored
    assert client.post("/usage/recount", json={"namespace": "admin"}).json()["corrected"] == []
    limit = {"logical_nbytes": after["logical_nbytes"] + 1000}
    assert client.request("PATCH", "/namespaces/admin/quota", json=limit).status_code == 200
    asked = ask(client, repo, "gauge-polar").json()
    job = claim_variant(hub)
    made = variant_steps.make(job.id, job.attempt)
    assert made is not None
    with pytest.raises(Refused, match="QUOTA_EXCEEDED") as refused:
        variant_steps.publish(job.id, job.attempt, made)
    variant_steps.record_failure(job.id, job.attempt, refused.value)
    parked = client.get(f"/jobs/{asked['id']}").json()
    assert (parked["state"], parked["failures"]) == ("parked", 1)
    assert "QUOTA_EXCEEDED" in parked["outcome"]
    assert client.resolve(repo, "model.safetensors", "gauge-polar").status_code == 404
    collect(hub, least_grace_s=0)
    assert not [found for found in hub.store.list("blobs/") if f".j-{job.id}-" in found.name]


def test_a_cancelled_job_stops_at_its_next_step(hub: Hub, client: Any, repo: str, variant_steps: VariantSteps) -> None:
    """No branch appears, and its objects are the collector's."""
    ask(client, repo)
    job = claim_variant(hub)
    made = variant_steps.make(job.id, job.attempt)
    assert made is not None
    assert client.post(f"/jobs/{job.id}/cancel").status_code == 204
    variant_steps.publish(job.id, job.attempt, made)
    assert variant_job(hub).state == "cancelled"
    assert client.resolve(repo, "config.json", METHOD).status_code == 404
    assert collect(hub, least_grace_s=0).objects == 2
    assert scratch_files(hub) == []


def test_an_old_attempt_changes_nothing(hub: Hub, client: Any, repo: str, variant_steps: VariantSteps) -> None:
    """A zombie that wakes after its job was handed on does not publish."""
    ask(client, repo)
    job = claim_variant(hub)
    old = variant_steps.make(job.id, 1)
    assert old is not None
    variant_steps.record_failure(job.id, 1, EncodingFailed("given up by the sweeper"))
    again = claim_variant(hub)
    assert again.attempt == 2
    variant_steps.publish(job.id, 1, old)
    assert client.resolve(repo, "config.json", METHOD).status_code == 404
    new = variant_steps.make(job.id, 2)
    assert new is not None
    variant_steps.publish(job.id, 2, new)
    assert client.resolve(repo, "config.json", METHOD).status_code == 200
    assert variant_steps.make(job.id, 3) is None


def test_a_branch_that_became_somebodys_is_left_alone(
    hub: Hub, client: Any, repo: str, variant_steps: VariantSteps
) -> None:
    """Between asking and publishing a branch of that name was pushed."""
    ask(client, repo)
    job = claim_variant(hub)
    made = variant_steps.make(job.id, job.attempt)
    assert made is not None
    pushed = client.push(repo, {"mine": b"mine"}, branch=METHOD)
    with pytest.raises(Refused, match="NOT_A_VARIANT_BRANCH"):
        variant_steps.publish(job.id, job.attempt, made)
    assert client.get(f"/repos/{repo}/commits/{METHOD}").json()["items"][0]["id"] == pushed


def test_a_repo_that_was_deleted_meanwhile(hub: Hub, client: Any, repo: str, variant_steps: VariantSteps) -> None:
    """Is not written to; taken apart, it takes its jobs with it."""
    ask(client, repo)
    job = claim_variant(hub)
    made = variant_steps.make(job.id, job.attempt)
    assert made is not None
    assert client.request("DELETE", f"/repos/{repo}").status_code == 204
    with pytest.raises(Refused, match="REPO_NOT_FOUND"):
        variant_steps.publish(job.id, job.attempt, made)
    with hub.db.transaction() as session:
        session.execute(update(Blob).values(look_at=Blob.created_at))
    assert collect(hub, least_grace_s=0).repos == 1
    with hub.db.snapshot() as session:
        assert session.scalars(select(Repo)).all() == []
    assert [each for each in client.get("/jobs").json()["items"] if each["kind"] == "variant"] == []
