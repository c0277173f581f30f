"""Show, cancel and retry background work."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from .. import models, schemas
from ..accounts.principal import WRITE, Principal, require_admin, require_user
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
    """Stop a queued or running job; its blob stays as it is. Raises JobNotFound, Forbidden, Unauthenticated."""
    _require_may_change(session, caller, job_id)
    if not queries.cancel_job(session, job_id, caller.name):
        raise JobNotFound(f"no queued or running job {job_id}", job=job_id)
    settle_raw(session, session.get_one(models.Job, job_id).blob_id)
    record(session, caller.name, "job.cancel", job_id=job_id)


def retry(session: Session, caller: Principal, job_id: int) -> None:
    """Queue a parked or cancelled job again. Raises JobNotFound, Forbidden, Unauthenticated."""
    _require_may_change(session, caller, job_id)
    if not queries.retry_job(session, job_id):
        raise JobNotFound(f"no parked or cancelled job {job_id}", job=job_id)
    blob_id = session.get_one(models.Job, job_id).blob_id
    if blob_id is not None:
        mark_encoding(session, [blob_id])
    record(session, caller.name, "job.retry", job_id=job_id)


def _require_may_change(session: Session, caller: Principal, job_id: int) -> None:
    """Admins change all jobs; who may write to a repo those that make variants in it."""
    repo = queries.find_variant_repo(session, job_id)
    if repo is None or not caller.may(WRITE, repo.namespace, repo.name):
        require_admin(caller)


def _shown(session: Session, caller: Principal, found: Sequence[queries.FoundJob]) -> list[schemas.Job]:
    """With the name of a repo only where the caller may read it: the same content may be in somebody else's."""
    names = {each.job.repo for each in found if each.job.repo is not None}
    readable = {repo.full_name for repo in find_repos(session, sorted(names)) if caller.may_read(repo)}
    return [describe(each, shows_repo=each.job.repo in readable) for each in found]


def describe(found: queries.FoundJob, *, shows_repo: bool) -> schemas.Job:
    """A job as the API shows it."""
    job, blob, variant = found.job, found.blob, found.variant
    facts = {name: getattr(job, name) for name in schemas.Job.model_fields if hasattr(job, name)}
    place = {"repo": job.repo if shows_repo else None, "path": job.path if shows_repo else None}
    content = {
        "sha256": blob.sha256 if blob else "",
        "nbytes": blob.nbytes if blob else variant.nbytes if variant else 0,
        "variant": _describe_variant(variant, found) if variant else None,
    }
    return schemas.Job.model_validate({**facts, **place, **content, "worker": job.worker_id})


def _describe_variant(variant: models.Variant, found: queries.FoundJob) -> schemas.JobVariant:
    assert found.source is not None
    return schemas.JobVariant(
        method=variant.method,
        parameters=variant.parameters,
        source=found.source,
        branch=variant.branch,
        author=variant.author,
        commit=found.made,
    )
