"""What endpoints are given: the hub, the caller, and path segments with their quoting removed."""

from __future__ import annotations

import base64
import binascii
from contextlib import suppress
from typing import Annotated
from urllib.parse import unquote_to_bytes

from fastapi import Depends, Path, Query, Request
from pydantic import BeforeValidator

from .accounts.grants import Grant, Grants
from .accounts.last_use import LastUse
from .accounts.operations import identify
from .accounts.principal import STRANGER, Principal
from .context import Hub
from .errors import InvalidRequest, Unauthenticated
from .rates.limits import RateLimits, require_within
from .request_context import current_context


def hub_of(request: Request) -> Hub:
    """The hub behind the app."""
    hub = request.app.state.hub
    assert isinstance(hub, Hub)
    return hub


def principal_of(request: Request, hub: Annotated[Hub, Depends(hub_of)]) -> Principal:
    """Whoever the token belongs to, or a stranger when there is none; raises Unauthenticated, RateLimited."""
    header = request.headers.get("authorization", "")
    if not header:
        return STRANGER
    principal = identify(hub.db, _token_in(header))
    _admit(request, principal)
    return principal


def _token_in(header: str) -> str:
    """A bearer token, or the password of a user of any name: git-lfs can send nothing else."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    if scheme.lower() == "basic":
        with suppress(binascii.Error, UnicodeDecodeError):
            _, colon, token = base64.b64decode(value.strip(), validate=True).decode().partition(":")
            if colon and token:
                return token
    raise Unauthenticated("the Authorization header must be `Bearer TOKEN`, or Basic with the token as the password")


def granted(request: Request, signed: str, purpose: str) -> tuple[Principal, Grant]:
    """Who was granted what; raises Unauthenticated, RateLimited."""
    grants = request.app.state.grants
    assert isinstance(grants, Grants)
    principal, grant = grants.read(signed, purpose)
    if principal.token_id is not None:
        _admit(request, principal)
    return principal, grant


def _admit(request: Request, principal: Principal) -> None:
    limits, last_use, context = request.app.state.rate_limits, request.app.state.last_use, current_context()
    assert isinstance(limits, RateLimits)
    assert isinstance(last_use, LastUse)
    assert principal.token_id is not None
    context.token_id = principal.token_id
    context.standing = limits.users.take(str(principal.user_id))
    require_within(context.standing)
    last_use.note(principal.token_id)


def unquote_segment(segment: object) -> str:
    """Undo the percent-encoding of a path parameter (requests are routed on the quoted path)."""
    try:
        return unquote_to_bytes(str(segment)).decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"{str(segment)[:200]!r} is not percent-encoded UTF-8") from None


HubDep = Annotated[Hub, Depends(hub_of)]
Caller = Annotated[Principal, Depends(principal_of)]
Segment = Annotated[str, BeforeValidator(unquote_segment)]
MAX_ROW_ID = (1 << 63) - 1  # what a BIGINT holds; a larger number would be an error of the database, not of the caller
RowId = Annotated[int, Path(ge=0, le=MAX_ROW_ID)]
AfterRow = Annotated[int | None, Query(ge=0, le=MAX_ROW_ID)]
