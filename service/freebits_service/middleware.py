"""What wraps every request: its id, its line in the log, its metrics, its quoted path, its largest body."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress

import structlog
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import metrics
from .errors import ShuttingDown, TooLarge
from .hf.addresses import MAX_COMMIT_NBYTES, is_commit
from .http_errors import error_response, unexpected
from .request_context import begin_context
from .request_ids import begin_request
from .settings import MIB
from .xet.requests import MAX_SHARD_NBYTES, takes_bytes

log = structlog.get_logger()
SHORT_JSON_NBYTES = MIB


class Observe:
    """Gives the request an id, logs it without its headers and query, and counts it."""

    def __init__(self, app: ASGIApp, draining: threading.Event) -> None:
        self._app = app
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note how it ended. A hub that is being stopped lets go of connections."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        offered = Headers(scope=scope).get("x-request-id")
        request_id = begin_request(offered.encode("latin-1") if offered else None)
        client = scope.get("client")
        begin_context(client[0] if client else "")
        status, sent_nbytes, begun = 0, 0, time.monotonic()

        async def observed(message: Message) -> None:
            nonlocal status, sent_nbytes
            if message["type"] == "http.response.start":
                status = message["status"]
                leave = [(b"connection", b"close")] if self._draining.is_set() else []
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode()), *leave]
            else:
                sent_nbytes += len(message.get("body", b""))
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id), metrics.RUNNING.track_inprogress():
            try:
                await self._app(scope, receive, observed)
            except asyncio.CancelledError:
                if status or not self._draining.is_set():
                    raise
                await error_response(ShuttingDown.code, str(ShuttingDown()), {})(scope, receive, observed)
            except Exception as error:
                answer = unexpected(error)
                if status:
                    raise  # part of another answer is out: only cutting the connection tells the client
                await answer(scope, receive, observed)
            finally:
                _note(scope, status, sent_nbytes, time.monotonic() - begun)


def _note(scope: Scope, status: int, sent_nbytes: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", "unmatched")
    metrics.REQUESTS.labels(scope["method"], route, str(status)).inc()
    metrics.LATENCY.labels(scope["method"], route).observe(seconds)
    metrics.SENT.inc(sent_nbytes)
    quiet = route in {"/healthz", "/readyz", "/metrics"}
    (log.debug if quiet else log.info)(
        "request",
        method=scope["method"],
        path=scope["path"],
        status=status,
        seconds=round(seconds, 4),
        sent_nbytes=sent_nbytes,
    )


class RoutePath:
    """Routes on the path as it was sent, so that ``%2F`` stays inside its segment; endpoints unquote."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its raw path."""
        if scope["type"] == "http" and scope.get("raw_path"):
            with suppress(UnicodeDecodeError):
                scope["path"] = scope["raw_path"].partition(b"?")[0].decode("ascii")
        await self._app(scope, receive, send)


class LimitJson:
    """Refuses requests with a larger body than they may have; parts of uploads have their own limit.

    Only commits by somebody with a token may be long: parsed JSON takes many times the memory of its text, and it is
    parsed before anybody asks who sent it. Those of Hugging Face clients may be longer, they are taken line by line.
    """

    def __init__(self, app: ASGIApp, max_nbytes: int) -> None:
        self._app = app
        self._max_nbytes = max_nbytes

    def _limit(self, scope: Scope, headers: Headers) -> int:
        has_token = "authorization" in headers
        if has_token and is_commit(scope["path"]):
            return MAX_COMMIT_NBYTES
        if has_token and takes_bytes(scope["path"]):
            return MAX_SHARD_NBYTES  # which is not kept in memory
        may_be_long = has_token and scope["path"].endswith("/commits")
        return self._max_nbytes if may_be_long else min(self._max_nbytes, SHORT_JSON_NBYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting what arrives."""
        if scope["type"] != "http" or scope["method"] == "PUT":
            await self._app(scope, receive, send)
            return
        request_headers = Headers(scope=scope)
        limit = self._limit(scope, request_headers)
        announced = request_headers.get("content-length", "0")
        if announced.isdigit() and int(announced) > limit:
            error = TooLarge(f"a request of {announced} bytes, at most {limit} are taken")
            await error_response(error.code, error.message, {"limit": limit})(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(413, f"the request is larger than {limit} bytes")
            return message

        await self._app(scope, counted, send)
