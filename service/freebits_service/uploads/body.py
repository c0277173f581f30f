"""The body of a request, in pieces of the size that is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request

from ..blobs.store import Buffer
from ..socket_bodies import SocketBody, socket_body


class Body:
    """Bytes that arrive; several who take of it take one after another."""

    def __init__(self, request: Request) -> None:
        self._chunks = request.stream()
        self._socket_body = socket_body(request.scope)
        self._rest: Buffer = b""

    async def gather(self, at_least: int, at_most: int) -> Sequence[Buffer]:
        """The next bytes, as they come in; fewer than asked for when the body ends before."""
        batch: list[Buffer] = []
        gathered = 0
        while gathered < min(at_least, at_most) and await self.is_more():
            piece, self._rest = self._rest[: at_most - gathered], self._rest[at_most - gathered :]
            gathered += len(piece)
            batch.append(piece)
        return batch

    async def is_more(self) -> bool:
        """Whether the body goes on; waits for it."""
        while not self._rest:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                return False
            self._rest = chunk
        return True

    def in_socket(self) -> SocketBody | None:
        """What a thread may go on to read itself, where that is possible now."""
        found = self._socket_body
        return found if found is not None and not self._rest and found.is_waiting() else None
