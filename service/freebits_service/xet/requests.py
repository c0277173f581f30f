"""Who sends what to the address for Xet uploads."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from ..accounts.grants import Grant
from ..accounts.principal import Principal
from ..errors import InvalidXet, TooLarge
from ..http_context import granted

WRITE = "xet-write"


def _writer(request: Request) -> tuple[Principal, Grant]:
    """Whoever the token in the request was made for, and the repo."""
    return granted(request, request.headers.get("authorization", "").removeprefix("Bearer "), WRITE)


Writer = Annotated[tuple[Principal, Grant], Depends(_writer)]


def announced_nbytes(request: Request, limit: int) -> int:
    """The length of the body; raises InvalidXet, TooLarge."""
    announced = request.headers.get("content-length", "")
    if not announced.isdigit():
        raise InvalidXet("the request must say its Content-Length")
    if int(announced) > limit:
        raise TooLarge(f"{announced} bytes, at most {limit} are taken", limit=limit)
    return int(announced)
