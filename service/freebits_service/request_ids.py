"""A name for every request, in the answer and in every line logged for it."""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar

_current: ContextVar[str] = ContextVar("request_id", default="")
_ACCEPTABLE = re.compile(rb"[A-Za-z0-9._-]{1,64}")


def begin_request(offered: bytes | None) -> str:
    """Use the caller's id if it has a harmless form, else make one."""
    acceptable = offered is not None and _ACCEPTABLE.fullmatch(offered)
    request_id = offered.decode() if offered is not None and acceptable else secrets.token_hex(8)
    _current.set(request_id)
    return request_id


def current_request_id() -> str:
    """The id of the request being answered; empty outside of one."""
    return _current.get()
