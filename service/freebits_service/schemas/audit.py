"""The audit trail."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .fields import Answer


class AuditLine(Answer):
    """One change: who (user and token), what, when, from where, in which request."""

    id: int
    at: datetime
    user: str
    token_id: int | None
    address: str
    request_id: str
    action: str
    namespace: str
    repo: str
    detail: dict[str, Any]


class AuditList(Answer):
    """A page of changes, newest first; `next` goes into ``after``."""

    items: list[AuditLine]
    next: int | None
