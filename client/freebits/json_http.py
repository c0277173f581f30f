"""What a hub's JSON answer says, whichever client got it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from freebits.errors import Damaged, ProtocolError, api_error
from freebits.retry import RETRIED_STATUSES, TryAgain, retry_after_s

if TYPE_CHECKING:
    import httpx


def json_of(response: httpx.Response) -> Any:
    """The decoded JSON of a success; raises APIError, ProtocolError, and TryAgain for what may pass."""
    try:
        body: Any = response.json() if response.content else None
    except ValueError:
        body = None
        if response.is_success:
            raise ProtocolError(
                f"the answer of {response.url.host} is not JSON; check that the endpoint is a freebits hub"
            ) from None
    if response.is_success:
        return body
    error = api_error(response.status_code, body)
    if response.status_code in RETRIED_STATUSES and not isinstance(error, Damaged):
        raise TryAgain(error, retry_after_s(response.headers))
    raise error
