"""Objects that no row names, and staged bytes that nobody owns: what crashes leave. Found by listing the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Protocol

from sqlalchemy.orm import Session

from ..blobs.keys import FOLDERS, job_of, origin_of, upload_of
from ..blobs.store import StagedObject, StoredObject
from ..clock import now
from ..context import Hub
from . import queries
from .lease import Hold

BATCH = 400


class Tally(Protocol):
    """Where is counted what went."""

    objects: int
    staged: int
    nbytes: int


def drop_orphans(hub: Hub, hold: Hold, before: datetime, tally: Tally, *, whole: bool) -> None:
    """Delete orphans in the folders that are due, in all when `whole`, beginning where the last collection ended."""
    for _ in range(_due_folders(hub, hold, whole)):
        if hold.place >= len(FOLDERS):
            hold.place, hold.place_at = 0, now()
        for batch in find_orphans(hub, FOLDERS[hold.place], before):
            for orphan in batch:
                hub.store.delete(orphan.name)
                tally.nbytes += orphan.nbytes
            tally.objects += len(batch)
            hold.keep()
        hold.place += 1
        hold.keep()


def _due_folders(hub: Hub, hold: Hold, whole: bool) -> int:
    """So many folders that a round takes the interval, however often it is collected in between."""
    if whole:
        return len(FOLDERS)
    share = (now() - hold.place_at).total_seconds() / hub.settings.orphan_interval_s
    if hold.place >= len(FOLDERS):
        return 1 if share >= 1 else 0
    return max(0, min(len(FOLDERS), int(share * len(FOLDERS)) + 1) - hold.place)


def find_orphans(hub: Hub, prefix: str, before: datetime) -> Iterator[Sequence[StoredObject]]:
    """Objects under `prefix` written by `before` that no row names and whose writer has ended, in batches."""
    old = (found for found in hub.store.list(prefix) if found.modified_at <= before)
    while batch := list(islice(old, BATCH)):
        yield orphans_among(hub, batch)


def orphans_among(hub: Hub, objects: Sequence[StoredObject]) -> list[StoredObject]:
    """Those of the objects that no row names and whose writer has ended."""
    with hub.db.snapshot() as session:
        orphans = _orphans(session, [found.name for found in objects])
    return [found for found in objects if found.name in orphans]


def _orphans(session: Session, keys: Sequence[str]) -> set[str]:
    origins = {key: origin for key in keys if (origin := origin_of(key)) is not None}
    uploads = {origin: upload_of(origin) for origin in origins.values()}
    jobs = {origin: job_of(origin) for origin in origins.values()}
    # Writers are looked up before users: one that ends in between has made its key used.
    writing = {*queries.living_uploads(session, [each for each in uploads.values() if each is not None])}
    encoding = {*queries.active_jobs(session, [each for each in jobs.values() if each is not None])}
    used = queries.keys_in_use(session, list(origins))
    return {
        key
        for key, origin in origins.items()
        if key not in used and uploads[origin] not in writing and jobs[origin] not in encoding
    }


def drop_stale_staging(hub: Hub, hold: Hold, before: datetime, tally: Tally) -> None:
    """Drop what is staged for nobody."""
    for batch in find_stale_staging(hub, before):
        for stale in batch:
            hub.store.abort(stale.key)
        tally.staged += len(batch)
        hold.keep()


def find_stale_staging(hub: Hub, before: datetime) -> Iterator[Sequence[StagedObject]]:
    """Objects in progress since `before` whose upload has another by now or is gone, or whose job has ended."""
    stale = (found for found in hub.store.list_staged() if found.modified_at <= before)
    while batch := list(islice(stale, BATCH)):
        with hub.db.snapshot() as session:
            keys = [found.key for found in batch]
            owned = queries.staging_in_use(session, keys) | _being_encoded(session, keys)
        yield [found for found in batch if found.key not in owned]


def _being_encoded(session: Session, keys: Sequence[str]) -> set[str]:
    jobs = {key: job_of(origin) for key in keys if (origin := origin_of(key)) is not None}
    active = {*queries.active_jobs(session, [job for job in jobs.values() if job is not None])}
    return {key for key, job in jobs.items() if job in active}
