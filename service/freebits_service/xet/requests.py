"""Who may send to the address for Xet, and who may read there."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Request

from ..accounts.grants import Grant
from ..accounts.principal import Principal
from ..errors import InvalidXet, TooLarge
from ..http_context import granted
from ..settings import MIB

WRITE, READ = "xet-write", "xet-read"
BYTES = "xet-bytes"
MAX_SHARD_NBYTES = 80 * MIB
_BYTES = re.compile(r"/xet/[^/]+/(v1/xorbs/[^/]+/[^/]+|v[12]/shards)")


def takes_bytes(path: str) -> bool:
    """Whether the bodies that are sent to this path are long, and taken as they arrive."""
    return _BYTES.fullmatch(path) is not None


def _shown(request: Request, purpose: str) -> tuple[Principal, Grant]:
    """Whoever the token in the request was made for, and the repo."""
    return granted(request, request.headers.get("authorization", "").removeprefix("Bearer "), purpose)


def _writer(request: Request) -> tuple[Principal, Grant]:
    return _shown(request, WRITE)


def _reader(request: Request) -> tuple[Principal, Grant]:
    return _shown(request, READ)


Writer = Annotated[tuple[Principal, Grant], Depends(_writer)]
Reader = Annotated[tuple[Principal, Grant], Depends(_reader)]


def announced_nbytes(request: Request, limit: int) -> int:
    """The length of the body; raises InvalidXet, TooLarge."""
    announced = request.headers.get("content-length", "")
    if not announced.isdigit():
        raise InvalidXet("the request must say its Content-Length")
    if int(announced) > limit:
        raise TooLarge(f"{announced} bytes, at most {limit} are taken", limit=limit)
    return int(announced)
