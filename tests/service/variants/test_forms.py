"""Files in a symmetric form: what the store holds of them, checked, damaged, healed; and when none can be made."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from inline_encoder import InlineEncoder
from safetensors.numpy import load
from sqlalchemy import update
from variant_asking import METHOD, MODEL, SOURCE, ask, blob_of, claim_variant, run_variant, scratch_files, variant_job

from freebits_codecs import ContainerReader
from freebits_codecs.errors import UnexpectedForm
from freebits_service.collection.operations import collect
from freebits_service.context import Hub
from freebits_service.errors import StorageFull
from freebits_service.models import Blob
from freebits_service.repair.findings import Report
from freebits_service.repair.operations import fsck
from freebits_service.scratch import Scratch
from freebits_service.workers.encoder import EncodingFailed, Refused
from freebits_service.workers.variant import VariantSteps

MakeVariant = Callable[..., dict[str, Any]]
Usage = namedtuple("Usage", "total used free")
# What they are about is the same on every database.
pytestmark = pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)


def test_what_is_stored_is_never_decoded_as_the_file(
    hub: Hub, client: Any, repo: str, make_variant: MakeVariant
) -> None:
    """The row says what the container is, and the container says so too."""
    make_variant(repo)
    blob = blob_of(hub, client.resolve(repo, "model.safetensors", METHOD).content)
    assert (blob.state, blob.symmetric, blob.raw_key) == ("encoded", True, None)
    assert blob.container_key is not None
    with hub.store.open(blob.container_key) as reader, pytest.raises(UnexpectedForm):
        ContainerReader(reader)
    sent = (hub.settings.objects / blob.container_key).read_bytes()
    digest = hashlib.sha256(sent).hexdigest()
    stored = {"encoding": "freebits", "stored_nbytes": len(sent), "stored_sha256": digest}
    upload = client.begin(repo, MODEL + b"x", **stored).json()
    for number in range(upload["part_count"]):
        client.put_part(repo, upload, number, sent)
    assert client.complete(repo, upload).json()["code"] == "DIGEST_MISMATCH"


def test_tensors_are_those_of_the_plain_file(client: Any, repo: str, make_variant: MakeVariant) -> None:
    """They are found by content like all others."""
    make_variant(repo)
    listed = client.get(f"/repos/{repo}/tensors/{METHOD}/model.safetensors").json()
    assert listed["indexed"]
    plain = client.resolve(repo, "model.safetensors", METHOD).content
    assert {tensor["name"] for tensor in listed["items"]} == set(load(plain))


def test_content_that_is_here_stays_as_it_is(
    make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any], tmp_path: Path
) -> None:
    """A file that was pushed before somebody asked for a variant that has it is stored as it was."""
    plain = b""
    for name in ("first", "second"):
        hub = make_hub(data=tmp_path / name)
        client = make_client(hub)
        repo = client.new_repo()
        client.push(repo, {**SOURCE, "elsewhere": plain} if plain else SOURCE)
        ask(client, repo)
        run_variant(VariantSteps(hub, InlineEncoder(hub.settings), "w1", Scratch(hub.settings, "w1")))
        plain = client.resolve(repo, "model.safetensors", METHOD).content
    collect(hub, least_grace_s=0)
    kept = blob_of(hub, plain)
    assert (kept.raw_key is not None, kept.container_key, kept.symmetric) == (True, None, False)
    assert list(hub.store.list("blobs/container/")) == []


def test_a_full_disk_is_waited_for(
    hub: Hub, client: Any, repo: str, variant_steps: VariantSteps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is written, with no failure counted."""
    ask(client, repo)
    job = claim_variant(hub)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 1 << 40, 2 * len(MODEL)))
        with pytest.raises(StorageFull, match="are free") as full:
            variant_steps.make(job.id, job.attempt)
    variant_steps.record_failure(job.id, job.attempt, full.value)
    assert (variant_job(hub).state, variant_job(hub).failures) == ("queued", 0)
    run_variant(variant_steps)
    assert variant_job(hub).state == "done"


def test_a_damaged_form_is_never_published(hub: Hub, client: Any, repo: str, variant_steps: VariantSteps) -> None:
    """What is stored is read again before a row names it."""
    ask(client, repo)
    job = claim_variant(hub)
    made = variant_steps.make(job.id, job.attempt)
    assert made is not None
    path = hub.settings.objects / made.files[0].key
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(EncodingFailed, match="DigestMismatch"):
        variant_steps.publish(job.id, job.attempt, made)
    assert client.resolve(repo, "config.json", METHOD).status_code == 404


def test_fsck_reads_symmetric_forms(hub: Hub, client: Any, repo: str, make_variant: MakeVariant) -> None:
    """Whole ones are clean at every depth, also expanded; damaged ones are found, and not served."""
    make_variant(repo)
    plain = client.resolve(repo, "model.safetensors", METHOD).content
    for options in ({"depth": "fast"}, {"depth": "deep"}, {"rebuild_tensors": True}):
        report = fsck(hub, Report(), least_grace_s=0, **options)
        assert report.damages == 0, report.findings
    assert client.get(f"/repos/{repo}/tensors/{METHOD}/model.safetensors").json()["indexed"]
    path = hub.settings.objects / (blob_of(hub, plain).container_key or "")
    whole = path.read_bytes()
    path.write_bytes(whole[:-200] + bytes(200))
    assert fsck(hub, Report(), depth="deep", least_grace_s=0).damages == 1
    assert client.resolve(repo, "model.safetensors", METHOD).json()["code"] == "BLOB_DAMAGED"
    path.write_bytes(whole)
    fsck(hub, Report(), depth="deep", least_grace_s=0)
    assert client.resolve(repo, "model.safetensors", METHOD).content == plain


def test_a_damaged_form_is_healed_by_making_it_again(
    hub: Hub, client: Any, repo: str, make_variant: MakeVariant
) -> None:
    """The same source gives the same file."""
    first = make_variant(repo)
    plain = client.resolve(repo, "model.safetensors", METHOD).content
    with hub.db.transaction() as session:
        session.execute(update(Blob).where(Blob.symmetric).values(damaged_at=Blob.created_at))
    assert client.resolve(repo, "model.safetensors", METHOD).json()["code"] == "BLOB_DAMAGED"
    assert client.request("DELETE", f"/repos/{repo}/refs/branch/{METHOD}").status_code == 204
    second = make_variant(repo)
    assert (second["job"], second["source"]) == (first["job"], first["source"])
    assert client.resolve(repo, "model.safetensors", METHOD).content == plain


def test_the_report_is_json_that_names_its_parts(client: Any, repo: str, make_variant: MakeVariant) -> None:
    """Bytes by part, errors of weights, times, and the hub's own facts; for all methods that fit."""
    for method in ("bits-back", "gauge-polar"):
        make_variant(repo, method)
        report = json.loads(client.resolve(repo, "freebits-report.json", method).content)
        assert {"bytes", "saved_by_part", "weights", "seconds", "hub"} <= report.keys()
        assert report["bytes"]["saved"] == report["bytes"]["lossless"] - report["bytes"]["stored"] > 0
    assert report["hub"]["version"]


def test_an_unsuitable_model_parks_at_once(hub: Hub, client: Any, variant_steps: VariantSteps) -> None:
    """With the reason and what to do instead, and nothing left behind."""
    repo = client.new_repo()
    client.push(repo, {"model.safetensors": b"no tensors in here", "config.json": b"{}"})
    ask(client, repo)
    job = claim_variant(hub)
    with pytest.raises(Refused, match="NotSymmetric") as refused:
        variant_steps.make(job.id, job.attempt)
    variant_steps.record_failure(job.id, job.attempt, refused.value)
    [shown] = [each for each in client.get("/jobs").json()["items"] if each["kind"] == "variant"]
    assert (shown["state"], shown["failures"], shown["variant"]["commit"]) == ("parked", 1, None)
    assert shown["outcome"].startswith("NotSymmetric: ")
    assert scratch_files(hub) == []
