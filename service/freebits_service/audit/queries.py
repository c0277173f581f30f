"""Statements that read the audit trail."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..models import Audit


def list_audit(
    session: Session,
    *,
    namespace: str | None,
    user: str | None,
    action: str | None,
    after: int | None,
    limit: int,
) -> Sequence[Audit]:
    """Changes, newest first, with row ids below `after`; each filter has an index that ends in the row id."""
    statement = select(Audit).order_by(Audit.id.desc()).limit(limit)
    if namespace is not None:
        statement = statement.where(Audit.namespace == namespace)
    if user is not None:
        statement = statement.where(Audit.user == user)
    if action is not None:
        statement = statement.where(Audit.action == action)
    if after is not None:
        statement = statement.where(Audit.id < after)
    return session.scalars(statement).all()
