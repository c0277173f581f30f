"""Content that is in this process already, as many short files at once: stored, then made known in one transaction.

A file at a time, as a session of the REST API, would take five transactions each. A crash before the transaction
leaves objects that no row names, like a crash in a session.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy.orm import Session

from ..accounts.principal import Principal, require_user
from ..blobs.files import store_object
from ..blobs.git import git_blob_id
from ..blobs.keys import new_raw_key, upload_origin
from ..blobs.queries import adopt_raw, find_blob, note_git_oids
from ..clock import in_seconds, now
from ..commits.queries import usable_blob_ids
from ..context import Hub
from ..models import Repo, Upload
from . import queries
from .operations import record_upload, require_room

WRITERS = 8  # at once: each waits for the store more than it works


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes of a file with their SHA-256."""

    data: bytes
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> Content:
        """Hash the bytes."""
        return cls(data, hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, slots=True)
class _Written:
    content: Content
    upload_id: str
    key: str


def store_contents(hub: Hub, caller: Principal, repo: Repo, contents: Iterable[Content]) -> None:
    """Keep all of it; the caller can commit it afterwards.

    Raises StorageFull, and StoreUnavailable.
    """
    different = list({content.sha256: content for content in contents}.values())
    new = hub.db.run(lambda session: [each for each in different if not _is_kept(hub, session, caller, repo, each)])
    require_room(hub, sum(len(content.data) for content in new))
    with ThreadPoolExecutor(WRITERS) as writers:
        written = list(writers.map(lambda content: _write(hub, content), new))

    def make_known(session: Session) -> list[str]:
        unneeded = [each.key for each in written if not _keep(hub, session, caller, repo, each)]
        note_git_oids(session, {content.sha256: git_blob_id(content.data) for content in different})
        return unneeded

    for key in hub.db.run(make_known):
        hub.store.delete(key)


def keep_usable(hub: Hub, session: Session, caller: Principal, repo: Repo, sha256: str, nbytes: int) -> bool:
    """Whether the caller may use this content already; the collector keeps it for the commit to come."""
    blob = find_blob(session, sha256, keep=True)
    if blob is None or blob.nbytes != nbytes or not blob.is_good:
        return False
    if not usable_blob_ids(session, [blob.id], caller):
        return False
    _add_complete(hub, session, caller, repo, secrets.token_hex(16), sha256, nbytes, "")
    return True


def keep_object(
    hub: Hub, session: Session, caller: Principal, repo: Repo, upload_id: str, sha256: str, nbytes: int, key: str
) -> bool:
    """The caller has uploaded the verified content of the object `key`; False when the object is not needed."""
    _add_complete(hub, session, caller, repo, upload_id, sha256, nbytes, key)
    return adopt_raw(session, sha256, nbytes, key)


def _add_complete(
    hub: Hub, session: Session, caller: Principal, repo: Repo, upload_id: str, sha256: str, nbytes: int, key: str
) -> None:
    row = Upload(
        id=upload_id,
        repo_id=repo.id,
        user_id=require_user(caller),
        sha256=sha256,
        nbytes=nbytes,
        encoding="identity",
        stored_nbytes=nbytes,
        stored_sha256=sha256,
        staging=key,
        state="complete",
        part_nbytes=hub.settings.part_nbytes,
        created_at=now(),
        expires_at=in_seconds(hub.settings.upload_ttl_s),
    )
    queries.add_upload(session, row)
    record_upload(session, caller, "upload.complete", repo, row)


def _is_kept(hub: Hub, session: Session, caller: Principal, repo: Repo, content: Content) -> bool:
    return keep_usable(hub, session, caller, repo, content.sha256, len(content.data))


def _write(hub: Hub, content: Content) -> _Written:
    upload_id = secrets.token_hex(16)
    key = new_raw_key(content.sha256, upload_origin(upload_id))
    store_object(hub.store, key, content.data)
    return _Written(content, upload_id, key)


def _keep(hub: Hub, session: Session, caller: Principal, repo: Repo, written: _Written) -> bool:
    content = written.content
    return keep_object(hub, session, caller, repo, written.upload_id, content.sha256, len(content.data), written.key)
