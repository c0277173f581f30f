"""Statements over organizations and their members."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ..clock import now
from ..models import Membership, Namespace, User


def find_org(session: Session, name: str) -> Namespace | None:
    """The organization of this name."""
    return session.scalar(select(Namespace).where(Namespace.name == name, Namespace.kind == "org"))


def list_orgs(session: Session, among: Collection[str] | None, after: str | None, limit: int) -> Sequence[Namespace]:
    """Organizations by name, those behind `after`; `among` are the names to choose from, None for all."""
    statement = select(Namespace).where(Namespace.kind == "org").order_by(Namespace.name).limit(limit)
    if among is not None:
        statement = statement.where(Namespace.name.in_(among))
    return session.scalars(statement if after is None else statement.where(Namespace.name > after)).all()


def list_members(session: Session, org_id: int, after: str | None, limit: int) -> Sequence[tuple[str, str, datetime]]:
    """Name, role and since when of an organization's members, by name."""
    statement = select(User.name, Membership.role, Membership.created_at).join(User, User.id == Membership.user_id)
    statement = statement.where(Membership.namespace_id == org_id).order_by(User.name).limit(limit)
    rows = session.execute(statement if after is None else statement.where(User.name > after))
    return [(name, role, created_at) for name, role, created_at in rows]


def put_member(session: Session, org_id: int, user_id: int, role: str) -> Membership:
    """Add a member, or give it another role."""
    member = session.get(Membership, (user_id, org_id))
    if member is None:
        member = Membership(user_id=user_id, namespace_id=org_id, role=role, created_at=now())
        session.add(member)
    member.role = role
    return member


def delete_member(session: Session, org_id: int, user_id: int) -> bool:
    """Remove a member; False when the user is none."""
    statement = delete(Membership).where(Membership.namespace_id == org_id, Membership.user_id == user_id)
    return session.scalar(statement.returning(Membership.user_id)) is not None
