"""Cancel and retry background work."""

from __future__ import annotations

from sqlalchemy.orm import Session

from ..accounts.principal import Principal
from ..accounts.queries import record
from ..blobs.queries import mark_encoding, settle_raw
from ..errors import JobNotFound
from ..models import Job
from . import queries


def cancel(session: Session, caller: Principal, job_id: int) -> None:
    """Stop a queued or running job; its blob stays as it is. Raises JobNotFound."""
    if not queries.cancel_job(session, job_id):
        raise JobNotFound(f"no queued or running job {job_id}", job=job_id)
    settle_raw(session, _blob_id(session, job_id))
    record(session, caller.name, "job.cancel", job_id=job_id)


def retry(session: Session, caller: Principal, job_id: int) -> None:
    """Queue a parked or cancelled job again. Raises JobNotFound."""
    if not queries.retry_job(session, job_id):
        raise JobNotFound(f"no parked or cancelled job {job_id}", job=job_id)
    mark_encoding(session, [_blob_id(session, job_id)])
    record(session, caller.name, "job.retry", job_id=job_id)


def _blob_id(session: Session, job_id: int) -> int:
    return session.get_one(Job, job_id).blob_id
