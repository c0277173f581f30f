"""Where the parts of an upload go: an object in progress, whose key the upload's row names.

When what was staged is lost (removed by hand, aborted by a rule of the bucket, a dead disk), the upload goes on with a
new object and none of its parts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..blobs.keys import new_container_key, new_raw_key, upload_origin
from ..blobs.store import ObjectNotFound, PartWriter, Presigner
from ..context import Hub
from ..errors import PartsMissing, UploadNotFound
from ..models import Repo, Upload
from . import queries
from .plan import PartPlan, part_count, plan_part


@dataclass(frozen=True, slots=True)
class FoundUpload:
    """An upload as it was when looked up. Its parts are asked for where needed: there may be ten thousand."""

    repo: Repo
    row: Upload

    @property
    def part_count(self) -> int:
        """How many parts make it whole."""
        return part_count(self.row.stored_nbytes, self.row.part_nbytes)


def begin_object(hub: Hub, upload_id: str, encoding: str, sha256: str) -> str:
    """Begin an object for an upload; its key."""
    key = _new_key(upload_id, encoding, sha256)
    hub.store.begin(key)
    return key


def _new_key(upload_id: str, encoding: str, sha256: str) -> str:
    new_key = new_container_key if encoding == "freebits" else new_raw_key
    return new_key(sha256, upload_origin(upload_id))


def received(hub: Hub, found: FoundUpload) -> Sequence[int]:
    """Numbers of the parts that are there: those the store has, or where it cannot tell those that were noted.

    None of an object that was lost, and then parts go to a new one. Raises UploadNotFound.
    """
    row = found.row
    try:
        sizes = hub.store.staged_parts(row.staging)
    except ObjectNotFound:
        if _is_finished(hub, row.staging):
            return range(found.part_count)
        begin_again(hub, found)
        return ()
    if sizes is None:
        with hub.db.snapshot() as session:
            return queries.part_numbers(session, row.id)
    return [
        number
        for number in range(found.part_count)
        if sizes.get(number) == plan_part(number, row.stored_nbytes, row.part_nbytes).nbytes
    ]


def _is_finished(hub: Hub, key: str) -> bool:
    """Whether the object is there, though nothing may name it yet."""
    try:
        hub.store.stat(key)
    except ObjectNotFound:
        return False
    return True


def presign_parts(
    hub: Hub, presigner: Presigner, found: FoundUpload, plans: Sequence[PartPlan], lifetime_s: int
) -> Sequence[str]:
    """URLs for some parts, of a new object when that of the upload was lost. Raises UploadNotFound."""

    def presign(key: str) -> list[str]:
        return [presigner.part(key, plan.number, lifetime_s) for plan in plans]

    try:
        return presign(found.row.staging)
    except ObjectNotFound:
        return presign(begin_again(hub, found))


def open_part(hub: Hub, found: FoundUpload, plan: PartPlan) -> PartWriter:
    """A writer for one part. Raises UploadNotFound, StorageFull."""
    try:
        return hub.store.write_part(found.row.staging, plan.number, plan.offset)
    except ObjectNotFound:
        return hub.store.write_part(begin_again(hub, found), plan.number, plan.offset)


def finish_part(hub: Hub, found: FoundUpload, writer: PartWriter) -> None:
    """Keep the part; raises PartsMissing when the object was lost while it arrived, UploadNotFound, StorageFull."""
    try:
        writer.finish()
    except ObjectNotFound:
        begin_again(hub, found)
        raise PartsMissing(range(found.part_count)) from None


def begin_again(hub: Hub, found: FoundUpload) -> str:
    """Go on with a new object and no parts; its key. Raises UploadNotFound when the upload is not receiving."""
    new_key = begin_object(hub, found.row.id, found.row.encoding, found.row.sha256)
    _replace(hub, found, new_key, None)
    return new_key


def take_again(hub: Hub, found: FoundUpload, numbers: Collection[int]) -> None:
    """Go on with a new object that has the finished one's parts but those `numbers`.

    Raises UploadNotFound when the upload is not receiving, or is given new parts by somebody else already.
    """
    row = found.row
    new_key = _new_key(row.id, row.encoding, row.sha256)
    hub.store.reopen(row.staging, new_key, row.part_nbytes, numbers)
    _replace(hub, found, new_key, numbers)
    hub.store.delete(row.staging)


def _replace(hub: Hub, found: FoundUpload, new_key: str, dropped: Collection[int] | None) -> None:
    with hub.db.transaction() as session:
        is_replaced = queries.restage(session, found.row.id, found.row.staging, new_key)
        if is_replaced:
            queries.drop_parts(session, found.row.id, None if dropped is None else list(dropped))
    if not is_replaced:
        hub.store.abort(new_key)
        raise UploadNotFound(found.row.id)
