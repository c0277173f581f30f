"""Organizations and who is in them."""

from __future__ import annotations

from sqlalchemy.orm import Session

from ..accounts.operations import claim_namespace, require_existing_user, require_no_repos
from ..accounts.principal import READ, Principal, require_namespace, require_user
from ..accounts.queries import delete_namespace, find_namespace, record
from ..errors import OrgNotFound, UserExists, UserNotFound
from ..models import Membership, Namespace
from ..names import check_not_reserved, check_segment
from . import queries


def create_org(session: Session, caller: Principal, name: str) -> Namespace:
    """A new organization without members; raises InvalidName, UserExists."""
    check_not_reserved(check_segment(name, "organization name"))
    if queries.find_org(session, name) is not None:
        raise UserExists(f"there is an organization {name!r} already", org=name)
    claim_namespace(session, name, "org")
    record(session, caller.name, "org.create", namespace=name)
    found = find_namespace(session, name)
    assert found is not None
    return found


def visible_org(session: Session, caller: Principal, name: str) -> Namespace:
    """The organization, if the caller is a member or an admin; raises Unauthenticated, OrgNotFound."""
    require_user(caller)
    found = queries.find_org(session, name) if caller.may(READ, name) else None
    if found is None:
        raise OrgNotFound(f"no organization {name[:96]!r} that you are a member of", org=name[:96])
    return found


def administered_org(session: Session, caller: Principal, name: str) -> Namespace:
    """The organization, if the caller administers it; raises Unauthenticated, OrgNotFound, Forbidden."""
    found = visible_org(session, caller, name)
    require_namespace(caller, name, wanted="admin")
    return found


def delete_org(session: Session, caller: Principal, name: str) -> None:
    """Remove an organization without repos; raises OrgNotFound, NamespaceInUse."""
    visible_org(session, caller, name)
    require_no_repos(session, name)
    delete_namespace(session, name)
    record(session, caller.name, "org.delete", namespace=name)


def put_member(session: Session, caller: Principal, org: str, user: str, role: str) -> Membership:
    """Add a member or change its role; raises OrgNotFound, Forbidden, UserNotFound."""
    found = administered_org(session, caller, org)
    member = queries.put_member(session, found.id, require_existing_user(session, user).id, role)
    record(session, caller.name, "member.put", namespace=org, user=user, role=role)
    return member


def delete_member(session: Session, caller: Principal, org: str, user: str) -> None:
    """Remove a member; raises OrgNotFound, Forbidden, UserNotFound."""
    found = administered_org(session, caller, org)
    if not queries.delete_member(session, found.id, require_existing_user(session, user).id):
        raise UserNotFound(f"{user!r} is not a member of {org!r}", user=user, org=org)
    record(session, caller.name, "member.delete", namespace=org, user=user)
