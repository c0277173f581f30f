"""HTTP for variants."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from ..http_context import AfterRow, Caller, HubDep, Segment
from ..repos.operations import readable_repo
from ..routers import rest_router
from ..schemas import Job, NewVariant, VariantList
from . import operations

router = rest_router("variants", reads_repos=True)


@router.post("/repos/{namespace}/{name}/variants", status_code=202, responses={200: {"model": Job}})
def create_variant(
    *, namespace: Segment, name: Segment, body: NewVariant, response: Response, hub: HubDep, caller: Caller
) -> Job:
    """Have a variant of a revision made; 200 when that was done before and its branch still stands."""
    job, is_pending = operations.ask(hub, caller, namespace, name, body)
    response.status_code = 202 if is_pending else 200
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return job


@router.get("/repos/{namespace}/{name}/variants")
def list_variants(
    *,
    namespace: Segment,
    name: Segment,
    hub: HubDep,
    caller: Caller,
    after: AfterRow = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> VariantList:
    """The variants that were asked for in a repo, newest first."""
    with hub.db.snapshot() as session:
        repo = readable_repo(session, caller, namespace, name)
        items = operations.list_variants(session, repo, after, limit + 1)
    return VariantList(items=items[:limit], next=items[limit - 1].job if len(items) > limit else None)
