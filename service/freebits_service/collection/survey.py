"""What a collection would let go of now; changes nothing. Its parts are looked at one after another on a live hub, so
the sum is an estimate of what the next collection finds.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from ..blobs.keys import FOLDERS
from ..clock import in_seconds
from ..context import Hub
from ..models import Blob
from . import survey_queries as queries
from .operations import Collected, graced, has_raw_copy, young_or_read_until
from .orphans import find_orphans, find_stale_staging
from .queries import uploads_until

BATCH = 400


def survey(hub: Hub, *, least_grace_s: float | None = None) -> Collected:
    """Count what `collect` would remove, and the bytes; orphans are looked for in the whole store."""
    before = graced(hub, least_grace_s)
    purged = in_seconds(-hub.settings.delete_grace_s)
    found = Collected()
    with hub.db.snapshot() as session:
        found.uploads, found.nbytes = queries.count_expired_uploads(session)
        found.xorbs, nbytes = queries.count_expired_xorbs(session)
        found.nbytes += nbytes
        found.repos = queries.count_purgeable_repos(session, purged)
    _add_blobs(hub, before, purged, found)
    for folder in FOLDERS:
        for batch in find_orphans(hub, folder, before):
            found.objects += len(batch)
            found.nbytes += sum(orphan.nbytes for orphan in batch)
    found.staged = sum(len(batch) for batch in find_stale_staging(hub, before))
    return found


def _add_blobs(hub: Hub, before: datetime, purged: datetime, found: Collected) -> None:
    last = 0
    while True:
        with hub.db.snapshot() as session:
            blobs = queries.candidates_after(session, before, purged, last, BATCH)
            _add_batch(session, blobs, before, purged, found)
        if len(blobs) < BATCH:
            return
        last = blobs[-1].id


def _add_batch(session: Session, blobs: list[Blob], before: datetime, purged: datetime, found: Collected) -> None:
    held = queries.held_by_kept_repos(session, [blob.id for blob in blobs], purged)
    uploaded = uploads_until(session, [blob.sha256 for blob in blobs])
    for blob in blobs:
        if young_or_read_until(blob, blob.id in held, before) is not None:
            continue
        if blob.id in held:
            found.raw_copies += has_raw_copy(blob)
            found.nbytes += blob.nbytes if has_raw_copy(blob) else 0
        elif blob.sha256 not in uploaded:
            found.blobs += 1
            found.nbytes += (blob.nbytes if blob.raw_key else 0) + (blob.container_nbytes or 0)
