"""Statements over uploads and their parts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from ..clock import now
from ..models import Upload, UploadPart


def add_upload(session: Session, upload: Upload) -> Upload:
    """Store a new upload."""
    session.add(upload)
    session.flush()
    return upload


def find_upload(session: Session, repo_id: int, user_id: int, upload_id: str) -> Upload | None:
    """An upload of this user to this repo that has not expired."""
    return session.scalar(
        select(Upload).where(
            Upload.id == upload_id,
            Upload.repo_id == repo_id,
            Upload.user_id == user_id,
            Upload.expires_at > now(),
        )
    )


def received_parts(session: Session, upload_id: str) -> Sequence[UploadPart]:
    """The parts that are there, by number."""
    statement = select(UploadPart).where(UploadPart.upload_id == upload_id)
    return session.scalars(statement.order_by(UploadPart.number)).all()


def part_numbers(session: Session, upload_id: str) -> Sequence[int]:
    """Those of the parts that are there."""
    statement = select(UploadPart.number).where(UploadPart.upload_id == upload_id)
    return session.scalars(statement.order_by(UploadPart.number)).all()


def put_part(session: Session, upload_id: str, number: int, nbytes: int, sha256: str, expires_at: datetime) -> bool:
    """Note a received part and that the upload lives; False when the upload does not receive any more."""
    statement = (
        update(Upload)
        .where(Upload.id == upload_id, Upload.state == "receiving")
        .values(expires_at=expires_at)
        .returning(Upload.id)
    )
    if session.scalar(statement) is None:
        return False
    session.merge(UploadPart(upload_id=upload_id, number=number, nbytes=nbytes, sha256=sha256))
    return True


def drop_parts(session: Session, upload_id: str, numbers: Sequence[int] | None = None) -> None:
    """Forget some parts, or all of them."""
    statement = delete(UploadPart).where(UploadPart.upload_id == upload_id)
    session.execute(statement if numbers is None else statement.where(UploadPart.number.in_(numbers)))


def complete_upload(session: Session, upload_id: str, expires_at: datetime) -> bool:
    """Compare and set: the upload becomes complete if it was receiving."""
    statement = (
        update(Upload)
        .where(Upload.id == upload_id, Upload.state == "receiving", Upload.expires_at > now())
        .values(state="complete", expires_at=expires_at)
        .returning(Upload.id)
    )
    return session.scalar(statement) is not None


def restage(session: Session, upload_id: str, key: str, new_key: str) -> bool:
    """Compare and set: parts go to another object from now on, unless that has been changed by somebody else."""
    statement = (
        update(Upload)
        .where(Upload.id == upload_id, Upload.state == "receiving", Upload.staging == key)
        .values(staging=new_key)
        .returning(Upload.id)
    )
    return session.scalar(statement) is not None


def extend_upload(session: Session, upload_id: str, expires_at: datetime) -> None:
    """The upload lives."""
    session.execute(update(Upload).where(Upload.id == upload_id).values(expires_at=expires_at))


def delete_upload(session: Session, upload_id: str) -> None:
    """Forget an upload and its parts."""
    session.execute(delete(Upload).where(Upload.id == upload_id))
