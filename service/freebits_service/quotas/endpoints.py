"""HTTP for usage and quotas."""

from __future__ import annotations

from ..accounts.principal import READ, require_admin, require_user
from ..accounts.queries import find_namespace
from ..errors import NamespaceNotFound
from ..http_context import Caller, HubDep, Segment
from ..routers import rest_router
from ..schemas import QuotaChange, Recount, Recounted, Usage
from . import operations

router = rest_router("quotas")


@router.get("/namespaces/{namespace}/usage")
def get_usage(namespace: Segment, hub: HubDep, caller: Caller) -> Usage:
    """What a namespace holds and may hold; for its owner or members."""
    require_user(caller)
    with hub.db.snapshot() as session:
        found = find_namespace(session, namespace) if caller.may(READ, namespace) else None
        if found is None:
            raise NamespaceNotFound(f"no namespace {namespace[:96]!r} of yours", namespace=namespace[:96])
        return operations.describe(hub.settings, found)


@router.patch("/namespaces/{namespace}/quota")
def change_quota(namespace: Segment, body: QuotaChange, hub: HubDep, caller: Caller) -> Usage:
    """Say how much a namespace may hold (admins only)."""
    require_admin(caller)
    with hub.db.transaction() as session:
        found = operations.set_limits(session, caller, namespace, body)
    return operations.describe(hub.settings, found)


@router.post("/usage/recount")
def recount(body: Recount, hub: HubDep, caller: Caller) -> Recounted:
    """Count anew what namespaces hold, beside running commits (admins only)."""
    require_admin(caller)
    return operations.recount(hub, caller, body.namespace)
