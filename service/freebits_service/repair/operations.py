"""``freebits fsck``: check everything the hub has, beside the running hub."""

from __future__ import annotations

import os
import secrets
from contextlib import nullcontext
from itertools import chain, islice

from ..blobs.keys import BLOBS, origin_of
from ..blobs.store import ObjectNotFound, StoredObject
from ..clock import in_seconds
from ..collection.lease import REPAIR, only_one
from ..collection.orphans import orphans_among
from ..context import Hub
from ..downloads.leases import LEAST_GRACE_S
from ..scratch import Scratch
from .blobs import BlobCheck
from .copies import Depth
from .findings import Finding, Report, Throttle
from .references import check_references

BATCH = 400


def fsck(
    hub: Hub,
    report: Report,
    *,
    depth: Depth = "bytes",
    repair: bool = False,
    rebuild_tensors: bool = False,
    nbytes_per_s: float | None = None,
    least_grace_s: float = LEAST_GRACE_S,
) -> Report:
    """Rows against rows, rows against objects, objects against rows; findings go to `report` as they come.

    Raises CollectionRunning when somebody else repairs or rebuilds: one does at a time.
    """
    throttle, scratch = Throttle(nbytes_per_s), Scratch(hub.settings, f"fsck-{os.getpid()}-{secrets.token_hex(4)}")

    def passing(nbytes: int) -> None:
        throttle.wait(nbytes)
        report.read(nbytes)

    with only_one(hub.db, REPAIR) if repair or rebuild_tensors else nullcontext() as hold:

        def between() -> None:
            if hold is not None:
                hold.keep()

        check_references(hub, report, repair=repair)
        BlobCheck(hub, report, depth, repair, rebuild_tensors, passing, scratch, between).check_all()
    _check_extra(hub, report, max(hub.settings.grace_s, least_grace_s))
    return report


def _check_extra(hub: Hub, report: Report, grace_s: float) -> None:
    """Objects that no row names: left over, which the collector knows, or a stranger's, which it leaves alone."""
    before = in_seconds(-grace_s)
    listed = iter(hub.store.list(BLOBS))
    for first in listed:
        batch = [first, *islice(listed, BATCH - 1)]
        strangers = [found for found in batch if origin_of(found.name) is None]
        old = [found for found in batch if found.modified_at <= before]
        for found in chain(strangers, orphans_among(hub, old)):
            if _is_there(hub, found):
                report.add(_extra(found))
        report.on_progress(report)


def _extra(found: StoredObject) -> Finding:
    is_stranger = origin_of(found.name) is None
    what = "stranger" if is_stranger else "extra-object"
    detail = "was not put there by the hub and is left alone" if is_stranger else "not needed; `freebits gc` removes it"
    return Finding(what, found.name, f"{found.nbytes} bytes, {detail}", is_damage=False)


def _is_there(hub: Hub, found: StoredObject) -> bool:
    try:
        hub.store.stat(found.name)
    except ObjectNotFound:
        return False
    return True
