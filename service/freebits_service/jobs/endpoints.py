"""HTTP for looking at background work and acting on it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query, Response

from ..accounts.principal import require_admin
from ..http_context import AfterRow, Caller, HubDep, RowId
from ..routers import rest_router
from ..schemas import Job, JobList, WorkerList
from . import operations

router = rest_router("jobs")
State = Literal["queued", "running", "done", "parked", "cancelled"]


@router.get("/jobs")
def list_jobs(
    hub: HubDep,
    caller: Caller,
    state: State | None = None,
    after: AfterRow = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> JobList:
    """Jobs, newest first: all for an admin, for others those on content of repos in their namespace."""
    with hub.db.snapshot() as session:
        items = operations.list_jobs(session, caller, state, after, limit + 1)
    return JobList(items=items[:limit], next=items[limit - 1].id if len(items) > limit else None)


@router.get("/jobs/{job_id}")
def get_job(job_id: RowId, hub: HubDep, caller: Caller) -> Job:
    """One job."""
    with hub.db.snapshot() as session:
        return operations.get_job(session, caller, job_id)


@router.post("/jobs/{job_id}/retry", status_code=204)
def retry_job(job_id: RowId, hub: HubDep, caller: Caller) -> Response:
    """Queue a parked or cancelled job again (admins; of variants also who may write to the repo)."""
    with hub.db.transaction() as session:
        operations.retry(session, caller, job_id)
    return Response(status_code=204)


@router.post("/jobs/{job_id}/cancel", status_code=204)
def cancel_job(job_id: RowId, hub: HubDep, caller: Caller) -> Response:
    """Stop a queued or running job (admins; of variants also who may write to the repo); its blob stays as it is."""
    with hub.db.transaction() as session:
        operations.cancel(session, caller, job_id)
    return Response(status_code=204)


@router.get("/workers")
def list_workers(hub: HubDep, caller: Caller) -> WorkerList:
    """The worker processes and what they are at (admins only)."""
    require_admin(caller)
    with hub.db.snapshot() as session:
        return WorkerList(items=operations.list_workers(session, hub.settings.worker_dead_after_s))
