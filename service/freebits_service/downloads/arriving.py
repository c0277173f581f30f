"""Answer with bytes that are on their way: wait a while for the first ones, then send headers, then what comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, suppress

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

FIRST_BYTES_S = 5.0  # so long an error can still be told with its status; clients give up after 10 s of silence


async def wait_while_errors_can_be_told(first: Awaitable[object], leave: Callable[[], None]) -> None:
    """Wait for the first bytes, not too long; raises what became of them instead, after `leave`."""
    with ExitStack() as undo:
        undo.callback(leave)
        with suppress(TimeoutError):
            await asyncio.wait_for(first, FIRST_BYTES_S)
        undo.pop_all()


class ArrivingResponse(StreamingResponse):
    """Sends what arrives; `leave` is called at the end, or when the client goes away."""

    def __init__(self, body: AsyncIterator[bytes | memoryview], leave: Callable[[], None], **answer: object) -> None:
        super().__init__(body, **answer)  # type: ignore[arg-type]
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all pieces; what they come from goes on when the client goes away."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()
