"""Show, cancel and retry background work."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.orm import Session

from .. import models, schemas
from ..accounts.principal import Principal, require_user
from ..accounts.queries import record
from ..blobs.queries import mark_encoding, settle_raw
from ..clock import in_seconds
from ..errors import JobNotFound
from ..repos.queries import find_repos
from . import queries, worker_rows


def list_jobs(
    session: Session, caller: Principal, state: str | None, after: int | None, limit: int
) -> list[schemas.Job]:
    """The jobs that the caller may see, newest first, with row ids below `after`. Raises Unauthenticated."""
    require_user(caller)
    return _shown(session, caller, queries.list_jobs(session, caller, state, after, limit))


def get_job(session: Session, caller: Principal, job_id: int) -> schemas.Job:
    """One job; raises JobNotFound also when it is none of the caller's business, Unauthenticated."""
    require_user(caller)
    found = queries.find_job(session, caller, job_id)
    if found is None:
        raise JobNotFound(f"no job {job_id} that you can see", job=job_id)
    return _shown(session, caller, [found])[0]


def list_workers(session: Session, dead_after_s: float) -> list[schemas.Worker]:
    """All workers, the oldest first."""
    since = in_seconds(-dead_after_s)
    return [
        schemas.Worker(
            id=worker.id,
            host=worker.host,
            pid=worker.pid,
            device=worker.device,
            queues=worker.queue.split(","),
            started_at=worker.started_at,
            heartbeat_at=worker.heartbeat_at,
            alive=worker.heartbeat_at >= since,
            job=job_id,
        )
        for worker, job_id in worker_rows.list_workers(session)
    ]


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
    return session.get_one(models.Job, job_id).blob_id


def _shown(session: Session, caller: Principal, rows: Iterable[tuple[models.Job, models.Blob]]) -> list[schemas.Job]:
    """With the name of a repo only where the caller may read it: the same content may be in somebody else's."""
    found = list(rows)
    names = {job.repo for job, _ in found if job.repo is not None}
    readable = {repo.full_name for repo in find_repos(session, sorted(names)) if caller.may_read(repo)}
    return [_describe(job, blob, job.repo in readable) for job, blob in found]


def _describe(job: models.Job, blob: models.Blob, shows_repo: bool) -> schemas.Job:
    facts = {name: getattr(job, name) for name in schemas.Job.model_fields if hasattr(job, name)}
    place = {"repo": job.repo if shows_repo else None, "path": job.path if shows_repo else None}
    return schemas.Job.model_validate(
        {**facts, **place, "worker": job.worker_id, "sha256": blob.sha256, "nbytes": blob.nbytes}
    )
