"""Statements over blobs: which content there is and where it is served from."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from ..clock import now
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


def add_encoded_blob(session: Session, sha256: str, nbytes: int, key: str, stored: tuple[int, str]) -> Blob:
    """A blob whose container is at `key`; `stored` is the container's size and digest."""
    blob = Blob(
        sha256=sha256,
        nbytes=nbytes,
        state="encoded",
        container_key=key,
        container_nbytes=stored[0],
        container_sha256=stored[1],
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
        )
        .returning(Blob.nbytes)
    )
    nbytes = session.scalar(statement)
    if nbytes is None:
        return False
    shrink_holders(session, blob_id, nbytes - stored[0])
    return True


def settle_raw(session: Session, blob_id: int) -> None:
    """A blob stays as it is: no job is pending on it."""
    session.execute(update(Blob).where(Blob.id == blob_id, Blob.state == "encoding").values(state="raw"))


def mark_encoding(session: Session, blob_ids: Sequence[int]) -> None:
    """A job is pending on raw blobs. Locked in the order of their rows: two commits share blobs, not a deadlock."""
    raw = select(Blob.id).where(Blob.id.in_(blob_ids), Blob.state == "raw")
    ids = session.scalars(raw.order_by(Blob.id).with_for_update(key_share=True)).all()
    session.execute(update(Blob).where(Blob.id.in_(ids), Blob.state == "raw").values(state="encoding"))


def is_key_in_use(session: Session, key: str) -> bool:
    """Whether a blob has this object."""
    return session.scalar(select(Blob.id).where(or_(Blob.raw_key == key, Blob.container_key == key))) is not None
