"""HTTP for looking at background work and acting on it (admins only)."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from ..accounts.principal import require_admin
from ..http_context import AfterRow, Caller, HubDep, RowId
from ..schemas import Job, JobList
from . import operations, queries

router = APIRouter(tags=["jobs"], prefix="/jobs")
State = Literal["queued", "running", "done", "parked", "cancelled"]


@router.get("")
def list_jobs(
    hub: HubDep,
    caller: Caller,
    state: State | None = None,
    after: AfterRow = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> JobList:
    """Jobs, newest first."""
    require_admin(caller)
    with hub.db.snapshot() as session:
        rows = queries.list_jobs(session, state, after, limit + 1)
    items = [Job.model_validate(row) for row in rows[:limit]]
    return JobList(items=items, next=items[-1].id if len(rows) > limit else None)


@router.post("/{job_id}/retry", status_code=204)
def retry_job(job_id: RowId, hub: HubDep, caller: Caller) -> Response:
    """Queue a parked or cancelled job again."""
    require_admin(caller)
    with hub.db.transaction() as session:
        operations.retry(session, caller, job_id)
    return Response(status_code=204)


@router.post("/{job_id}/cancel", status_code=204)
def cancel_job(job_id: RowId, hub: HubDep, caller: Caller) -> Response:
    """Stop a queued or running job; its blob stays as it is."""
    require_admin(caller)
    with hub.db.transaction() as session:
        operations.cancel(session, caller, job_id)
    return Response(status_code=204)
