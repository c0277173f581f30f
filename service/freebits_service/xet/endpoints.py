"""HTTP for Xet: tokens from the hub to upload and to download with, then shards to the address that came with one."""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal

import structlog
from fastapi import Depends, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from ..accounts.grants import Grant, Grants
from ..accounts.principal import Principal
from ..context import Hub
from ..errors import InvalidXet, ServiceError
from ..hf.addresses import REPO_API, Kind, base_of
from ..hf.bodies import Json
from ..hf.missing import refuse_pull_requests
from ..http_context import Caller, HubDep, Segment
from ..http_errors import STATUS
from ..repos.operations import readable_repo, resolve_revision, writable_repo
from ..routers import hf_router
from ..settings import MIB
from .epochs import current_epoch
from .register import register
from .requests import MAX_SHARD_NBYTES, READ, WRITE, Writer, announced_nbytes
from .shards import read_files

TOKEN_S = 3600
HEARTBEAT_S = 10
FILES_AT_ONCE = 2  # of a shard: SHA-256 takes one core for each
_SPOOLED_NBYTES = MIB

tokens = hf_router(REPO_API)
router = hf_router("/xet/{epoch}")


@tokens.get("/xet-{direction}-token/{revision}", dependencies=[Depends(refuse_pull_requests)])
def token(
    *,
    namespace: Segment,
    name: Segment,
    direction: Literal["write", "read"],
    revision: Segment,
    request: Request,
    hub: HubDep,
    caller: Caller,
    kind: Kind,
) -> Response:
    """A token to upload to this repo with, or to download what it holds, and where.

    The two halves of the client read body and headers.
    """
    with hub.db.snapshot() as session:
        if direction == "write":
            repo = writable_repo(session, caller, namespace, name, kind)
        else:
            repo = readable_repo(session, caller, namespace, name, kind)
            resolve_revision(session, repo, revision)
    purpose = WRITE if direction == "write" else READ
    return _token(request, caller, Grant(purpose, repo.full_name, revision))


def _token(request: Request, caller: Principal, grant: Grant) -> Response:
    grants: Grants = request.app.state.grants
    token, expires_at = grants.sign(caller, grant, TOKEN_S)
    url = f"{base_of(request)}/xet/{current_epoch()}"
    headers = {"X-Xet-Access-Token": token, "X-Xet-Token-Expiration": str(expires_at), "X-Xet-Cas-Url": url}
    body = {"accessToken": token, "exp": expires_at, "casUrl": url}
    return JSONResponse(body, headers={**headers, "Cache-Control": "no-store"})


@router.post("/v1/shards")
async def put_shard(request: Request, hub: HubDep, writer: Writer) -> Json:
    """Keep the files that a shard describes."""
    with tempfile.SpooledTemporaryFile(_SPOOLED_NBYTES) as shard:
        nbytes = await _receive(request, shard)
        registrars = request.app.state.registrars
        await asyncio.get_running_loop().run_in_executor(registrars, _register, hub, writer, shard, nbytes, _Verified())
    return {"result": 1}


@router.post("/v2/shards")
async def put_shard_with_progress(request: Request, hub: HubDep, writer: Writer) -> Response:
    """The same; the answer is lines of JSON while that goes on, the last one is a result or an error."""
    shard = tempfile.SpooledTemporaryFile(_SPOOLED_NBYTES)  # noqa: SIM115  # the answer closes it
    try:
        nbytes = await _receive(request, shard)
    except BaseException:
        shard.close()
        raise
    return StreamingResponse(_progress(request, hub, writer, shard, nbytes), media_type="application/x-ndjson")


async def _receive(request: Request, shard: Any) -> int:
    nbytes, received = announced_nbytes(request, MAX_SHARD_NBYTES), 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > nbytes:
            break
        shard.write(chunk)
    if received != nbytes:
        raise InvalidXet(f"a shard of {received} bytes arrived, {nbytes} were announced")
    shard.seek(0)
    return nbytes


def _register(hub: Hub, writer: tuple[Principal, Grant], shard: Any, nbytes: int, verified: _Verified) -> None:
    """All files of a shard; the first error of one is raised, when those that were begun have ended."""
    caller, grant = writer
    pool, working = ThreadPoolExecutor(FILES_AT_ONCE, "file"), deque[Future[None]]()
    try:
        for file in read_files(shard, nbytes):
            working.append(pool.submit(register, hub, caller, grant.address, file, verified.add))
            if len(working) > FILES_AT_ONCE:
                working.popleft().result()
        while working:
            working.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class _Verified:
    """Bytes that were verified, by several threads."""

    def __init__(self) -> None:
        self.nbytes = 0
        self._lock = threading.Lock()

    def add(self, nbytes: int) -> None:
        with self._lock:
            self.nbytes += nbytes


async def _progress(
    request: Request, hub: Hub, writer: tuple[Principal, Grant], shard: Any, nbytes: int
) -> AsyncIterator[bytes]:
    """A line every so often, so that nobody takes the hub for dead; the work goes on when nobody listens any more."""
    verified = _Verified()
    registrars = request.app.state.registrars
    working = asyncio.get_running_loop().run_in_executor(registrars, _register, hub, writer, shard, nbytes, verified)
    working.add_done_callback(lambda _: shard.close())
    while not working.done():
        yield _line(type="validating", verified=verified.nbytes, total=0)
        await asyncio.wait([working], timeout=HEARTBEAT_S)
    try:
        working.result()
    except ServiceError as error:
        yield _line(type="error", message=error.message, retryable=STATUS[error.code] in {429, 500, 502, 503})
    except Exception as error:  # the head of the answer is out: this line is all that can tell
        structlog.get_logger().error("unexpected error", exc_info=error)
        yield _line(type="error", message="the hub made a mistake; its log has the request id", retryable=False)
    else:
        yield _line(type="result")


def _line(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"
