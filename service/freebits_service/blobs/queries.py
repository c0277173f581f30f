"""Statements over blobs: which content there is and where it is served from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, bindparam, or_, select, update
from sqlalchemy.orm import Session

from ..clock import now
from ..db import batches
from ..models import Blob
from ..quotas.queries import shrink_holders


def find_blob(session: Session, sha256: str, *, keep: bool = False) -> Blob | None:
    """The blob of this digest; with `keep` the collector cannot take it before this transaction ends."""
    statement = select(Blob).where(Blob.sha256 == sha256)
    return session.scalar(statement.with_for_update(read=True, key_share=True) if keep else statement)


def add_raw_blob(session: Session, sha256: str, nbytes: int, key: str) -> Blob:
    """A blob whose original bytes are at `key`."""
    blob = Blob(sha256=sha256, nbytes=nbytes, state="raw", raw_key=key, created_at=now())
    session.add(blob)
    session.flush()
    return blob


def adopt_raw(session: Session, sha256: str, nbytes: int, key: str) -> bool:
    """Serve verified original bytes at `key` if there is no good blob of them; False when the object is not needed."""
    blob = find_blob(session, sha256, keep=True)
    if blob is None:
        add_raw_blob(session, sha256, nbytes, key)
    elif not blob.is_good:
        heal_with_raw(session, blob.id, key)
    else:
        return False
    return True


def git_oids_of(session: Session, blob_ids: Sequence[int]) -> dict[int, str]:
    """What git calls blobs, by their rows, as far as it was noted."""
    oids: dict[int, str] = {}
    for some in batches(blob_ids):
        rows = session.execute(select(Blob.id, Blob.git_oid).where(Blob.id.in_(some), Blob.git_oid.is_not(None)))
        oids.update((blob_id, oid) for blob_id, oid in rows if oid is not None)
    return oids


def note_git_oids(session: Session, oids: Mapping[str, str]) -> None:
    """What git calls these blobs, by their digests."""
    table = Blob.__table__
    rows = [{"of": sha256, "oid": oid} for sha256, oid in sorted(oids.items())]
    statement = update(Blob).where(table.c.sha256 == bindparam("of"), table.c.git_oid.is_(None))
    if rows:
        session.connection().execute(statement.values(git_oid=bindparam("oid")), rows)


def add_encoded_blob(
    session: Session, sha256: str, nbytes: int, key: str, stored: tuple[int, str], *, symmetric: bool = False
) -> Blob:
    """A blob whose container is at `key`; `stored` is the container's size and digest."""
    blob = Blob(
        sha256=sha256,
        nbytes=nbytes,
        state="encoded",
        container_key=key,
        container_nbytes=stored[0],
        container_sha256=stored[1],
        symmetric=symmetric,
        created_at=now(),
        encoded_at=now(),
    )
    session.add(blob)
    session.flush()
    return blob


def swap_to_container(session: Session, blob_id: int, key: str, stored: tuple[int, str]) -> bool:
    """Serve a blob from its container from now on, and let who holds it pay less; False when it is served from one."""
    statement = (
        update(Blob)
        .where(Blob.id == blob_id, Blob.state != "encoded")
        .values(
            state="encoded",
            container_key=key,
            container_nbytes=stored[0],
            container_sha256=stored[1],
            encoded_at=now(),
            look_at=now(),
            damaged_at=None,
        )
        .returning(Blob.nbytes)
    )
    nbytes = session.scalar(statement)
    if nbytes is None:
        return False
    shrink_holders(session, blob_id, nbytes - stored[0])
    return True


def settle_raw(session: Session, blob_id: int | None) -> None:
    """The blob of a job, if it is on one, stays as it is: no job is pending on it."""
    if blob_id is None:
        return
    session.execute(update(Blob).where(Blob.id == blob_id, Blob.state == "encoding").values(state="raw"))


def mark_encoding(session: Session, blob_ids: Sequence[int]) -> None:
    """A job is pending on raw blobs. Locked in the order of their rows: two commits share blobs, not a deadlock."""
    raw = select(Blob.id).where(Blob.id.in_(blob_ids), Blob.state == "raw")
    ids = session.scalars(raw.order_by(Blob.id).with_for_update(key_share=True)).all()
    session.execute(update(Blob).where(Blob.id.in_(ids), Blob.state == "raw").values(state="encoding"))


def is_key_in_use(session: Session, key: str) -> bool:
    """Whether a blob has this object."""
    return session.scalar(select(Blob.id).where(or_(Blob.raw_key == key, Blob.container_key == key))) is not None


def mark_damaged(session: Session, blob: Blob, is_damaged: bool) -> bool:
    """Serve nothing of a blob from now on, or again; False when it is stored elsewhere by now than `blob` says."""
    statement = (
        update(Blob)
        .where(*_stored_as(blob))
        .values(damaged_at=now() if is_damaged else None, look_at=now())
        .returning(Blob.id)
    )
    return session.scalar(statement) is not None


def heal_with_raw(session: Session, blob_id: int, key: str) -> None:
    """Good original bytes of a damaged or remote blob have arrived: serve these."""
    session.execute(
        update(Blob)
        .where(Blob.id == blob_id)
        .values(
            state="raw",
            raw_key=key,
            container_key=None,
            container_nbytes=None,
            container_sha256=None,
            symmetric=False,
            encoded_at=None,
            damaged_at=None,
            look_at=now(),
        )
    )


def heal_with_container(
    session: Session, blob_id: int, key: str, stored: tuple[int, str], *, symmetric: bool = False
) -> None:
    """A good container of a damaged or remote blob has arrived: serve that."""
    session.execute(
        update(Blob)
        .where(Blob.id == blob_id)
        .values(
            state="encoded",
            raw_key=None,
            container_key=key,
            container_nbytes=stored[0],
            container_sha256=stored[1],
            symmetric=symmetric,
            encoded_at=now(),
            damaged_at=None,
            look_at=now(),
        )
    )


def fall_back_to_raw(session: Session, blob: Blob) -> bool:
    """Serve the raw copy again because the container is damaged; False when it is stored elsewhere by now."""
    statement = (
        update(Blob)
        .where(*_stored_as(blob), Blob.raw_key.is_not(None))
        .values(
            state="raw",
            container_key=None,
            container_nbytes=None,
            container_sha256=None,
            symmetric=False,
            encoded_at=None,
            damaged_at=None,
        )
        .returning(Blob.id)
    )
    return session.scalar(statement) is not None


def forget_raw_copy(session: Session, blob: Blob) -> bool:
    """The raw copy of an encoded blob is damaged or gone; False when it is stored elsewhere by now."""
    statement = update(Blob).where(*_stored_as(blob), Blob.state == "encoded").values(raw_key=None, look_at=now())
    return session.scalar(statement.returning(Blob.id)) is not None


def _stored_as(blob: Blob) -> tuple[ColumnElement[bool], ...]:
    """Condition: the blob still lies where it did when `blob` was read."""
    return (
        Blob.id == blob.id,
        Blob.raw_key.is_not_distinct_from(blob.raw_key),
        Blob.container_key.is_not_distinct_from(blob.container_key),
    )
