"""Flows about the hub's background work: what there is, and starting or stopping some of it."""

from __future__ import annotations

from freebits import wire
from freebits.steps import Flow

PAGE = 1000


def list_jobs(state: str | None, limit: int) -> Flow[list[wire.Job]]:
    """The newest `limit` jobs that the caller may see, of one state or of all."""
    found: list[wire.Job] = []
    after: int | None = None
    while len(found) < limit:
        [reply] = yield [wire.list_jobs(state, after, min(PAGE, limit - len(found)))]
        items, _ = wire.parse_items(wire.Job, reply)
        found += items
        after = reply["next"]
        if after is None:
            break
    return found


def get_job(job_id: int) -> Flow[wire.Job]:
    """One job. NotFound when there is none that the caller may see."""
    [reply] = yield [wire.get_job(job_id)]
    return wire.parse(wire.Job, reply)


def change_job(job_id: int, action: str) -> Flow[None]:
    """Action "retry" queues a parked or cancelled job again, "cancel" stops a queued or running one. Admins."""
    yield [wire.change_job(job_id, action)]
