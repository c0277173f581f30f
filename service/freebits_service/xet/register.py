"""Make files of chunks: put together, verified, kept like every upload.

    read       the chunks of each segment, from xorbs that the same user has sent
    verify     each segment by the hash over its chunks' hashes, the whole by its SHA-256
    known      one transaction: the user has uploaded this content, the blob is there    the content can be committed

Where the store can, a file is made of the xorbs' own objects and then verified, and nothing is written a second time.
Otherwise the bytes go into an object of their own while they are verified: one thread reads chunks, or unpacks those
that are packed, another one hashes the whole and writes. Until the last step nothing names the object, and a crash
leaves an orphan. Memory is bounded by some windows, whatever the size of the file.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from sqlalchemy.orm import Session

from .. import schemas
from ..accounts.principal import Principal, require_user
from ..blobs.behind import WrittenBehind
from ..blobs.files import StagedFile
from ..blobs.keys import new_raw_key, upload_origin
from ..blobs.store import ObjectNotFound, ObjectReader, Range
from ..blobs.verify import check_bytes
from ..context import Hub
from ..errors import DigestMismatch, InvalidXet
from ..models import Repo
from ..models import Xorb as XorbRow
from ..quotas.operations import check_announced as check_announced_quota
from ..repos.operations import writable_repo
from ..settings import MIB
from ..uploads.operations import require_room
from ..uploads.plan import check_announced
from ..uploads.whole import keep_object, keep_usable
from . import queries
from .shards import ShardFile
from .xorbs import PackedXorb, UnpackedXorb, Xorb

OPEN_XORBS = 4  # that one file is read from at a time; a file refers to xorbs in the order it was cut
LEAST_JOINED_NBYTES = MIB  # of a segment, on the average: reading across many short ones is slow
MOST_LINKED = 1.25  # bytes that a joined file keeps alive, of its own: a xorb may hold ends of several files
Progress = Callable[[int], None]


def register(hub: Hub, caller: Principal, address: tuple[str, str], file: ShardFile, progress: Progress) -> None:
    """Keep a file, so that the caller can commit it; `progress` is told of bytes as they are done.

    Raises InvalidXet, DigestMismatch, TooLarge, QuotaExceeded, StorageFull, and what access raises.
    """
    body = schemas.NewUpload(
        sha256=file.sha256, nbytes=file.nbytes, stored_nbytes=file.nbytes, stored_sha256=file.sha256
    )
    check_announced(body, hub.settings.max_file_nbytes, hub.store.limits)
    with hub.db.snapshot() as session:
        repo = writable_repo(session, caller, *address)
        check_announced_quota(session, hub.settings, repo, body)
    if hub.db.run(lambda session: keep_usable(hub, session, caller, repo, file.sha256, file.nbytes)):
        return
    require_room(hub, file.nbytes)
    upload_id = secrets.token_hex(16)
    key = new_raw_key(file.sha256, upload_origin(upload_id))
    with _xorbs(hub, caller) as xorbs:
        if not _join(hub, xorbs, file, key, progress):
            _copy(hub, xorbs, file, key, progress)
    _keep(hub, caller, repo, file, upload_id, key)


def _keep(hub: Hub, caller: Principal, repo: Repo, file: ShardFile, upload_id: str, key: str) -> None:
    def keep(session: Session) -> bool:
        return keep_object(hub, session, caller, repo, upload_id, file.sha256, file.nbytes, key)

    if not hub.db.run(keep):
        hub.store.delete(key)


def _join(hub: Hub, xorbs: _Xorbs, file: ShardFile, key: str, progress: Progress) -> bool:
    """Have the store make a file of the xorbs as they lie there, and verify it; False where that is not to be had."""
    places = xorbs.places(file) if hub.store.can_join else None
    if places is None or not hub.store.join(key, places):
        return False
    try:
        with hub.store.open(key) as reader:
            check_bytes(reader, file.nbytes, file.sha256)
    except BaseException:
        hub.store.delete(key)
        raise
    progress(file.nbytes)
    return True


def _copy(hub: Hub, xorbs: _Xorbs, file: ShardFile, key: str, progress: Progress) -> None:
    """Verify a file while it is put together."""
    hub.store.begin(key)
    try:
        part_nbytes = hub.store.limits.part_nbytes_for(file.nbytes, hub.settings.part_nbytes)
        with StagedFile(hub.store, key, part_nbytes) as staged, WrittenBehind(staged) as behind:
            for segment in file.segments:
                for piece in xorbs.open(segment.xorb).verified(segment):
                    behind.write(piece)
                progress(segment.nbytes)
            behind.finish()
            staged.finish()
            if staged.sha256 != file.sha256:
                raise DigestMismatch(f"the chunks make a file of SHA-256 {staged.sha256}, announced was {file.sha256}")
    except BaseException:
        hub.store.abort(key)
        raise
    hub.store.finish(key)


class _Xorbs:
    """The xorbs of a user, the last few of them open."""

    def __init__(self, hub: Hub, caller: Principal) -> None:
        self._hub, self._user_id = hub, require_user(caller)
        self._opened: OrderedDict[str, Xorb] = OrderedDict()

    def open(self, xorb_hash: str) -> Xorb:
        """A xorb; raises InvalidXet for one that this user has not sent, or that is kept no more."""
        if xorb_hash not in self._opened:
            self._opened[xorb_hash] = self._open(xorb_hash)
            if len(self._opened) > OPEN_XORBS:
                self._opened.popitem(last=False)[1].close()
        self._opened.move_to_end(xorb_hash)
        return self._opened[xorb_hash]

    def places(self, file: ShardFile) -> list[Range] | None:
        """Where a file's segments lie; None unless these are long and most of what their objects hold, and unpacked."""
        places, linked = [], {}
        for segment in file.segments:
            xorb = self.open(segment.xorb)
            place = xorb.place(segment)
            if place is None:
                return None
            places.append(place)
            linked[segment.xorb] = xorb.nbytes
        is_in_few = len(places) * LEAST_JOINED_NBYTES <= file.nbytes
        return places if is_in_few and sum(linked.values()) <= MOST_LINKED * file.nbytes else None

    def _open(self, xorb_hash: str) -> Xorb:
        with self._hub.db.snapshot() as session:
            row: XorbRow | None = queries.find_xorb(session, self._user_id, xorb_hash)
        try:
            if row is not None:
                with ExitStack() as undo:
                    reader = undo.enter_context(self._hub.store.open(row.key))
                    xorb = _xorb(row, reader)
                    undo.pop_all()
                return xorb
        except ObjectNotFound:
            pass
        raise InvalidXet(f"xorb {xorb_hash} was not sent by you, or is not kept any more; upload again")

    def close(self) -> None:
        """Let go of all."""
        for xorb in self._opened.values():
            xorb.close()


def _xorb(row: XorbRow, reader: ObjectReader) -> Xorb:
    return PackedXorb(reader) if row.data_nbytes is None else UnpackedXorb(row.key, reader, row.data_nbytes)


@contextmanager
def _xorbs(hub: Hub, caller: Principal) -> Iterator[_Xorbs]:
    opened = _Xorbs(hub, caller)
    try:
        yield opened
    finally:
        opened.close()
