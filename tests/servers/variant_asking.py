"""A model to make variants of, and how tests ask for one and make it step by step."""

from __future__ import annotations

import hashlib
from typing import Any

from sliced_model import sliced_model
from sqlalchemy import select, update

from freebits_service.context import Hub
from freebits_service.jobs import queries
from freebits_service.models import Blob, Job
from freebits_service.models.jobs import VARIANT
from freebits_service.workers.variant import VariantSteps

MODEL = sliced_model()
SOURCE: dict[str, bytes | None] = {"model.safetensors": MODEL, "config.json": b"{}", "folder/notes.txt": b"notes"}
METHOD = "gauge-triangular"


def claim_variant(hub: Hub, worker_id: str = "w1") -> Job:
    """Take the next job that makes a variant, whatever it waits for and whatever else there is."""
    with hub.db.transaction() as session:
        session.execute(update(Job).values(priority=1, not_before=Job.created_at))
        session.execute(update(Job).where(Job.kind == VARIANT).values(priority=0))
        job = queries.claim_job(session, ["cpu"], worker_id)
        assert job is not None
        assert job.kind == VARIANT
        return job


def run_variant(steps: VariantSteps, *, times: int = 1) -> None:
    """All steps of the next attempt; each more than once, as after crashes."""
    job = claim_variant(steps.hub)
    for _ in range(times):
        made = steps.make(job.id, job.attempt)
    assert made is not None
    for _ in range(times):
        steps.publish(job.id, job.attempt, made)


def ask(client: Any, repo: str, method: str = METHOD, **body: Any) -> Any:
    """Ask for a variant."""
    return client.post(f"/repos/{repo}/variants", json={"method": method, **body})


def variant_job(hub: Hub) -> Job:
    """The only job that makes a variant."""
    with hub.db.snapshot() as session:
        return session.scalars(select(Job).where(Job.kind == VARIANT)).one()


def blob_of(hub: Hub, content: bytes) -> Blob:
    """The blob of these bytes."""
    with hub.db.snapshot() as session:
        return session.scalars(select(Blob).where(Blob.sha256 == hashlib.sha256(content).hexdigest())).one()


def scratch_files(hub: Hub) -> list[str]:
    """What is in scratch folders."""
    return [path.name for folder in (hub.settings.data / "scratch").iterdir() for path in folder.iterdir()]
