"""What is known of the request being answered, for whoever writes about it: the audit trail, rate limit headers.

One mutable object per request: endpoints and dependencies run in threads with a copy of the context, which holds
the same object.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from .rates.buckets import Standing

MAX_ADDRESS_LENGTH = 64


@dataclass(slots=True)
class RequestContext:
    """Where a request comes from, by which token, and how much of its rate limit is left."""

    address: str = ""
    token_id: int | None = None
    standing: Standing | None = None


_current: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)


def begin_context(address: str) -> RequestContext:
    """The context of a request that just arrived."""
    context = RequestContext(address[:MAX_ADDRESS_LENGTH])
    _current.set(context)
    return context


def current_context() -> RequestContext:
    """Of the request being answered; an empty one outside of requests."""
    return _current.get() or RequestContext()
