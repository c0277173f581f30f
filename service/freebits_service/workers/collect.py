"""Let go of what nobody needs. Runs beside writers and readers and never stops them.

Rows go first, in transactions that check again; objects follow. A crash in between leaves objects without a
row, which the next collection finds. No key is ever written twice (see ``blobs/keys.py``), so an object that
was found unneeded cannot become needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice

import structlog
from sqlalchemy.orm import Session

from ..blobs.keys import BLOBS, job_of, origin_of, upload_of
from ..clock import in_seconds
from ..context import Hub
from ..downloads.leases import LEAST_GRACE_S
from . import queries

log = structlog.get_logger()
BATCH = 400


@dataclass(frozen=True, slots=True)
class Collected:
    """What one collection let go of."""

    uploads: int = 0
    blobs: int = 0
    raw_copies: int = 0
    objects: int = 0
    staged: int = 0


def collect(hub: Hub, *, least_grace_s: float | None = None) -> Collected:
    """One pass over everything; `least_grace_s` is lowered only where nobody reads."""
    if least_grace_s is None:
        least_grace_s = max(LEAST_GRACE_S, hub.settings.presign_s if hub.store.presigns else 0)
    before = in_seconds(-max(hub.settings.grace_s, least_grace_s))
    collected = Collected(
        uploads=_expire_uploads(hub),
        blobs=_drop_unreferenced(hub, before),
        raw_copies=_drop_raw_copies(hub, before),
        objects=_drop_orphans(hub, before),
        staged=_drop_stale_staging(hub, before),
    )
    if collected != Collected():
        log.info("collected", **{name: getattr(collected, name) for name in Collected.__slots__})
    return collected


def _expire_uploads(hub: Hub) -> int:
    def take() -> int:
        with hub.db.transaction() as session:
            keys = queries.take_expired_uploads(session, BATCH)
        for key in filter(None, keys):
            hub.store.abort(key)
        return len(keys)

    return _repeat(take)


def _drop_unreferenced(hub: Hub, before: datetime) -> int:
    def take() -> int:
        with hub.db.transaction() as session:
            blobs = queries.take_unreferenced_blobs(session, before, BATCH)
        _delete(hub, chain.from_iterable(blobs))
        return len(blobs)

    return _repeat(take)


def _drop_raw_copies(hub: Hub, before: datetime) -> int:
    def take() -> int:
        with hub.db.transaction() as session:
            keys = queries.take_raw_copies(session, before, BATCH)
        _delete(hub, keys)
        return len(keys)

    return _repeat(take)


def _repeat(take: Callable[[], int]) -> int:
    """Take batch after batch until one is not full; how many in all."""
    total = 0
    while True:
        taken = take()
        total += taken
        if taken < BATCH:
            return total


def _drop_orphans(hub: Hub, before: datetime) -> int:
    """Objects that no row names and whose writer has ended."""
    dropped = 0
    old = (found.name for found in hub.store.list(BLOBS) if found.modified_at <= before)
    while batch := list(islice(old, BATCH)):
        with hub.db.snapshot() as session:
            orphans = _orphans(session, batch)
        _delete(hub, orphans)
        dropped += len(orphans)
    return dropped


def _orphans(session: Session, keys: Sequence[str]) -> list[str]:
    origins = {key: origin for key in keys if (origin := origin_of(key)) is not None}
    uploads = {origin: upload_of(origin) for origin in origins.values()}
    jobs = {origin: job_of(origin) for origin in origins.values()}
    # Writers are looked up before users: one that ends in between has made its key used.
    writing = {*queries.living_uploads(session, [each for each in uploads.values() if each is not None])}
    encoding = {*queries.active_jobs(session, [each for each in jobs.values() if each is not None])}
    used = queries.keys_in_use(session, list(origins))
    return [
        key
        for key, origin in origins.items()
        if key not in used and uploads[origin] not in writing and jobs[origin] not in encoding
    ]


def _drop_stale_staging(hub: Hub, before: datetime) -> int:
    """Objects in progress whose upload has another by now or is gone, or whose job has ended."""
    dropped = 0
    stale = (found.key for found in hub.store.list_staged() if found.modified_at <= before)
    while batch := list(islice(stale, BATCH)):
        with hub.db.snapshot() as session:
            owned = queries.staging_in_use(session, batch) | _being_encoded(session, batch)
        for key in set(batch) - owned:
            hub.store.abort(key)
            dropped += 1
    return dropped


def _being_encoded(session: Session, keys: Sequence[str]) -> set[str]:
    jobs = {key: job_of(origin) for key in keys if (origin := origin_of(key)) is not None}
    active = {*queries.active_jobs(session, [job for job in jobs.values() if job is not None])}
    return {key for key, job in jobs.items() if job in active}


def _delete(hub: Hub, keys: Iterable[str | None]) -> None:
    for key in filter(None, keys):
        hub.store.delete(key)
