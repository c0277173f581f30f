"""HTTP for the audit trail."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from ..accounts.principal import ADMIN, require_admin, require_namespace
from ..http_context import Caller, HubDep
from ..routers import rest_router
from ..schemas import AuditLine, AuditList
from . import queries

router = rest_router("audit")


@router.get("/audit")
def list_audit(
    hub: HubDep,
    caller: Caller,
    namespace: str | None = None,
    user: str | None = None,
    action: str | None = None,
    after: Annotated[int | None, Query(ge=0, le=(1 << 63) - 1)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> AuditList:
    """Who changed what, newest first: everything for admins, a namespace for its owner or its admins."""
    if namespace is None:
        require_admin(caller)
    else:
        require_namespace(caller, namespace, wanted=ADMIN)
    with hub.db.snapshot() as session:
        rows = queries.list_audit(session, namespace=namespace, user=user, action=action, after=after, limit=limit + 1)
    items = [AuditLine.model_validate(row) for row in rows[:limit]]
    return AuditList(items=items, next=items[-1].id if len(rows) > limit else None)
