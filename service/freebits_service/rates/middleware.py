"""Refuses who asks too often, before the body is read and the database is asked."""

from __future__ import annotations

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import RateLimited
from ..http_errors import error_response
from ..request_context import RequestContext, current_context
from .buckets import Standing
from .limits import RateLimits, network_of, require_within

UNLIMITED = frozenset({"/healthz", "/readyz", "/metrics"})
LOGIN = "/api/v1/oidc/"


class LimitRates:
    """Strangers and failed logins are limited here; users in `http_context`, where it is known who they are."""

    def __init__(self, app: ASGIApp, limits: RateLimits) -> None:
        self._app, self._limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on if it is within the limits, and tell in the answer what is left."""
        if scope["type"] != "http" or scope["path"] in UNLIMITED:
            await self._app(scope, receive, send)
            return
        context, authorization = current_context(), Headers(scope=scope).get("authorization", "")
        by_oidc = scope["path"].startswith(LOGIN)  # where everybody is a stranger, whatever they show
        is_login = bool(authorization) or by_oidc

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                if is_login and message["status"] == HTTPStatus.UNAUTHORIZED:
                    self._limits.note_failure(context.address)
                elif context.token_id is not None:
                    self._limits.note_success(context.address, authorization)
                message["headers"] = [*message["headers"], *_headers(context.standing)]
            await send(message)

        try:
            self._check(context, authorization, by_oidc)
        except RateLimited as error:
            await error_response(error.code, error.message, error.detail)(scope, receive, told)
            return
        await self._app(scope, receive, told)

    def _check(self, context: RequestContext, authorization: str, by_oidc: bool) -> None:
        if authorization or by_oidc:
            context.standing = self._limits.check_login(context.address, authorization)
            require_within(context.standing)
        if by_oidc or not authorization:
            context.standing = self._limits.strangers.take(network_of(context.address))
            require_within(context.standing)


def _headers(standing: Standing | None) -> list[tuple[bytes, bytes]]:
    if standing is None:
        return []
    return [(name.lower().encode(), value.encode()) for name, value in standing.headers().items()]
