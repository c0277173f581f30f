"""HTTP for organizations and their members."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from ..accounts.principal import require_admin, require_user
from ..http_context import Caller, HubDep, Segment
from ..routers import API_PREFIX, rest_router
from ..schemas import Member, MemberList, NewMember, NewOrg, Org, OrgList
from . import operations, queries

router = rest_router("organizations", f"{API_PREFIX}/orgs")
PageLimit = Annotated[int, Query(ge=1, le=1000)]


@router.get("")
def list_orgs(hub: HubDep, caller: Caller, after: str | None = None, limit: PageLimit = 100) -> OrgList:
    """The organizations that the caller is a member of; all for admins."""
    require_user(caller)
    with hub.db.snapshot() as session:
        rows = queries.list_orgs(session, None if caller.sees_all else list(caller.roles), after, limit + 1)
    items = [Org.model_validate(row) for row in rows[:limit]]
    return OrgList(items=items, next=items[-1].name if len(rows) > limit else None)


@router.post("", status_code=201)
def create_org(body: NewOrg, hub: HubDep, caller: Caller) -> Org:
    """Create an organization, as yet without members (admins of the hub only)."""
    require_admin(caller)
    return Org.model_validate(hub.db.run(lambda session: operations.create_org(session, caller, body.name)))


@router.get("/{org}")
def get_org(org: Segment, hub: HubDep, caller: Caller) -> Org:
    """One organization, for its members."""
    with hub.db.snapshot() as session:
        return Org.model_validate(operations.visible_org(session, caller, org))


@router.delete("/{org}", status_code=204)
def delete_org(org: Segment, hub: HubDep, caller: Caller) -> Response:
    """Remove an organization without repos (admins of the hub only); the name becomes free."""
    require_admin(caller)
    with hub.db.transaction() as session:
        operations.delete_org(session, caller, org)
    return Response(status_code=204)


@router.get("/{org}/members")
def list_members(
    org: Segment, hub: HubDep, caller: Caller, after: str | None = None, limit: PageLimit = 100
) -> MemberList:
    """Members by name, for members."""
    with hub.db.snapshot() as session:
        found = operations.visible_org(session, caller, org)
        rows = queries.list_members(session, found.id, after, limit + 1)
    items = [Member.model_validate({"user": name, "role": role, "created_at": at}) for name, role, at in rows[:limit]]
    return MemberList(items=items, next=items[-1].user if len(rows) > limit else None)


@router.post("/{org}/members")
def put_member(org: Segment, body: NewMember, hub: HubDep, caller: Caller) -> Member:
    """Add a user, or give a member another role (admins of the organization)."""
    row = hub.db.run(lambda session: operations.put_member(session, caller, org, body.user, body.role))
    return Member(user=body.user, role=body.role, created_at=row.created_at)


@router.delete("/{org}/members/{user}", status_code=204)
def delete_member(org: Segment, user: Segment, hub: HubDep, caller: Caller) -> Response:
    """Remove a member (admins of the organization)."""
    with hub.db.transaction() as session:
        operations.delete_member(session, caller, org, user)
    return Response(status_code=204)
