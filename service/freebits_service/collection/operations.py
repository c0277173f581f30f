"""Let go of what nobody needs. Runs beside writers and readers and never stops them.

Rows go first, in transactions that check again under row locks; objects follow. A crash in between leaves objects
without a row, which a later look through the store finds. No key is ever written twice (see ``blobs/keys.py``), so an
object that was found unneeded cannot become needed.

Nothing here looks at all blobs. A blob can only become unneeded when its upload expires, when a repo is purged or when
it was encoded; each of these sets `look_at`, and the collector takes the blobs whose time has come from an index. Only
orphans have to be looked for in the store, a folder at a time, spread over `orphan_interval_s`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from ..clock import in_seconds, now
from ..context import Hub
from ..downloads.leases import LEAST_GRACE_S
from ..errors import CollectionRunning
from ..models import Blob
from . import purge_queries, queries
from .lease import COLLECTION, Hold, only_one
from .orphans import drop_orphans, drop_stale_staging

log = structlog.get_logger()
BATCH = 400
UPLOADS_AT_ONCE = 100
TENSORS_AT_ONCE = 50_000  # rows that go with the blobs of one batch, unless one blob has more


@dataclass(slots=True)
class Collected:
    """What one collection let go of, and how many bytes of the store."""

    uploads: int = 0
    repos: int = 0
    blobs: int = 0
    raw_copies: int = 0
    objects: int = 0
    staged: int = 0
    xorbs: int = 0
    nbytes: int = 0


def collect(
    hub: Hub, *, least_grace_s: float | None = None, staging_grace_s: float | None = None, whole: bool = True
) -> Collected:
    """One collection; raises CollectionRunning when there is one already.

    `least_grace_s` is lowered only where nobody reads, or where a reader looks again. What is staged is known to nobody
    but its writer, so that `staging_grace_s` (by default the grace period of all) must be longer than a writer pauses.
    Unless `whole`, only as much of the store is listed as is due.
    """
    collected = Collected()
    with only_one(hub.db, COLLECTION) as hold:
        _purge_repos(hub, hold, collected)
        _expire_uploads(hub, hold, collected)
        _expire_xorbs(hub, hold, collected)
        before = graced(hub, least_grace_s)
        _collect_blobs(hub, hold, before, collected)
        drop_orphans(hub, hold, before, collected, whole=whole)
        stale_since = before if staging_grace_s is None else in_seconds(-staging_grace_s)
        drop_stale_staging(hub, hold, stale_since, collected)
    if any(getattr(collected, field.name) for field in fields(collected)):
        log.info("collected", **{field.name: getattr(collected, field.name) for field in fields(collected)})
    return collected


def graced(hub: Hub, least_grace_s: float | None = None) -> datetime:
    """What became unneeded before this moment may go: nobody reads it, through the hub or by a presigned URL."""
    if least_grace_s is None:
        least_grace_s = max(LEAST_GRACE_S, hub.settings.presign_s if hub.store.presigner else 0)
    return in_seconds(-max(hub.settings.grace_s, least_grace_s))


def collect_in_turn(hub: Hub) -> None:
    """What a worker does every so often: collect, unless somebody else does."""
    try:
        collect(hub, whole=False)
    except CollectionRunning as running:
        log.debug("no collection", reason=running.message)


def _expire_uploads(hub: Hub, hold: Hold, collected: Collected) -> None:
    while True:
        with hub.db.transaction() as session:
            keys, nbytes = queries.take_expired_uploads(session, UPLOADS_AT_ONCE)
        for key in filter(None, keys):
            hub.store.abort(key)
        collected.uploads += len(keys)
        collected.nbytes += nbytes
        hold.keep()
        if len(keys) < UPLOADS_AT_ONCE:
            return


def _expire_xorbs(hub: Hub, hold: Hold, collected: Collected) -> None:
    while True:
        with hub.db.transaction() as session:
            expired = queries.take_expired_xorbs(session, BATCH)
        _delete(hub, [key for key, _ in expired])
        collected.xorbs += len(expired)
        collected.nbytes += sum(nbytes for _, nbytes in expired)
        hold.keep()
        if len(expired) < BATCH:
            return


def _purge_repos(hub: Hub, hold: Hold, collected: Collected) -> None:
    """Take apart repos whose time to come back is over."""
    before = in_seconds(-hub.settings.delete_grace_s)
    while True:
        with hub.db.transaction() as session:
            repo_ids = purge_queries.begin_purging(session, before, BATCH)
        for repo_id in repo_ids:
            for step in purge_queries.STEPS:
                _exhaust(hub, hold, step, repo_id)
            _expire_uploads(hub, hold, collected)
            with hub.db.transaction() as session:
                collected.repos += not purge_queries.drop_repo(session, repo_id, 1)
        if len(repo_ids) < BATCH:
            return


def _exhaust(hub: Hub, hold: Hold, step: purge_queries.Step, repo_id: int) -> None:
    dropped = 1
    while dropped:
        with hub.db.transaction() as session:
            dropped = step(session, repo_id, BATCH)
        hold.keep()


def _collect_blobs(hub: Hub, hold: Hold, before: datetime, collected: Collected) -> None:
    after: tuple[datetime, int] | None = None
    while True:
        with hub.db.transaction() as session:
            due = _few_tensors(queries.lock_due_blobs(session, before, after, BATCH))
            last = (due[-1].look_at, due[-1].id) if due else None
            verdicts = _judge(session, due, before)
            keys = _carry_out(session, verdicts, collected)
        _delete(hub, keys)
        hold.keep()
        if last is None or last[0] is None:
            return
        after = (last[0], last[1])


def _few_tensors(blobs: Sequence[Blob]) -> Sequence[Blob]:
    """As many of the first blobs as have a bearable number of tensors between them."""
    total = 0
    for count, blob in enumerate(blobs):
        total += blob.tensor_count or 0
        if total > TENSORS_AT_ONCE:
            return blobs[: max(1, count)]
    return blobs


@dataclass(frozen=True, slots=True)
class _Verdicts:
    unneeded: list[Blob]
    with_raw_copy: list[Blob]
    later: list[tuple[Blob, datetime | None]]


def _judge(session: Session, due: Sequence[Blob], before: datetime) -> _Verdicts:
    held = queries.held_blob_ids(session, [blob.id for blob in due])
    uploaded = queries.uploads_until(session, [blob.sha256 for blob in due])
    verdicts = _Verdicts([], [], [])
    for blob in due:
        wait_until = young_or_read_until(blob, blob.id in held, before)
        if blob.id not in held and (uploaded_until := uploaded.get(blob.sha256)):
            wait_until = max(wait_until or uploaded_until, uploaded_until)
        if blob.id in held and not has_raw_copy(blob):
            verdicts.later.append((blob, None))
        elif wait_until is not None:
            verdicts.later.append((blob, wait_until))
        else:
            (verdicts.with_raw_copy if blob.id in held else verdicts.unneeded).append(blob)
    return verdicts


def young_or_read_until(blob: Blob, is_held: bool, before: datetime) -> datetime | None:
    """When to look again at a blob that is read or of which something appeared since `before`; None for neither."""
    appeared = blob.encoded_at if is_held else blob.created_at
    reasons = (
        blob.leased_until if blob.leased_until and blob.leased_until > now() else None,
        appeared if appeared and appeared > before else None,
    )
    return max(filter(None, reasons), default=None)


def has_raw_copy(blob: Blob) -> bool:
    """Whether there are raw bytes that the container makes unnecessary; not while the blob is damaged."""
    return blob.state == "encoded" and blob.raw_key is not None and blob.damaged_at is None


def _carry_out(session: Session, verdicts: _Verdicts, collected: Collected) -> list[str | None]:
    """Change the rows; the keys of the objects that nobody names any more."""
    raw = [(blob.raw_key, blob.nbytes) for blob in (*verdicts.unneeded, *verdicts.with_raw_copy)]
    containers = [(blob.container_key, blob.container_nbytes or 0) for blob in verdicts.unneeded]
    gone = [(key, nbytes) for key, nbytes in (*raw, *containers) if key]
    queries.forget_raw_copies(session, [blob.id for blob in verdicts.with_raw_copy])
    queries.forget_blobs(session, [blob.id for blob in verdicts.unneeded])
    for at in {at for _, at in verdicts.later}:
        queries.look_again(session, [blob.id for blob, when in verdicts.later if when == at], at)
    collected.blobs += len(verdicts.unneeded)
    collected.raw_copies += len(verdicts.with_raw_copy)
    collected.nbytes += sum(nbytes for _, nbytes in gone)
    return [key for key, _ in gone]


def _delete(hub: Hub, keys: Iterable[str | None]) -> None:
    for key in filter(None, keys):
        hub.store.delete(key)
