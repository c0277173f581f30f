"""Statements over xorbs, and over the files that are given as xorbs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from ..clock import now
from ..models import Blob, RepoBlob, Xorb


@dataclass(frozen=True, slots=True)
class Arrived:
    """A xorb in the store. `data_nbytes` of it are chunks that were unpacked; None where they are as they were sent."""

    hash: str
    key: str
    nbytes: int
    data_nbytes: int | None


def keep_xorb(session: Session, user_id: int, xorb: Arrived, until: datetime) -> str:
    """Note a xorb of a user, or that one it has already is to be kept for longer; the key of the one that is kept."""
    kept = extend_xorb(session, user_id, xorb.hash, until)
    if kept is not None:
        return kept
    # One that has expired and was not collected yet is replaced; its object is an orphan from now on.
    session.execute(delete(Xorb).where(Xorb.user_id == user_id, Xorb.hash == xorb.hash))
    session.add(Xorb(user_id=user_id, **asdict(xorb), expires_at=until))
    session.flush()
    return xorb.key


def extend_xorb(session: Session, user_id: int, xorb_hash: str, until: datetime) -> str | None:
    """Keep a xorb that the user has sent for longer; its key, None when there is none."""
    same = (Xorb.user_id == user_id, Xorb.hash == xorb_hash, Xorb.expires_at > now())
    return session.scalar(update(Xorb).where(*same).values(expires_at=until).returning(Xorb.key))


def find_xorb(session: Session, user_id: int, xorb_hash: str) -> Xorb | None:
    """A xorb of this user that has not expired."""
    statement = select(Xorb).where(Xorb.user_id == user_id, Xorb.hash == xorb_hash, Xorb.expires_at > now())
    return session.scalar(statement)


def held_blob(session: Session, repo_id: int, sha256: str) -> Blob | None:
    """Content that a repo holds."""
    statement = select(Blob).join(RepoBlob, RepoBlob.blob_id == Blob.id)
    return session.scalar(statement.where(RepoBlob.repo_id == repo_id, Blob.sha256 == sha256))
