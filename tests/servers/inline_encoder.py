"""The encoder's child without a process of its own: the same code at both ends of the pipe, a second sooner."""

from __future__ import annotations

from collections import deque
from typing import Any

from freebits_service.blobs.opening import open_store
from freebits_service.settings import Settings
from freebits_service.workers.encoder import EncoderProcess, _answer


class InlineEncoder(EncoderProcess):
    """Performs a task where it is asked for."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._pipe = _Pipe(settings)

    def _connected(self) -> Any:
        return self._pipe


class _Pipe:
    """Both ends: a task that is sent is performed, and what it tells is received in turn."""

    def __init__(self, settings: Settings) -> None:
        self._store = open_store(settings)
        self._told: deque[tuple[str, object]] = deque()

    def send(self, message: Any) -> None:
        """A task from the parent, or what the child tells."""
        is_told = isinstance(message, tuple)
        self._told.append(message if is_told else _answer(self._store, message, self))  # type: ignore[arg-type]

    def poll(self, _timeout_s: float) -> bool:
        """There is always something."""
        return True

    def recv(self) -> tuple[str, object]:
        """What was told next."""
        return self._told.popleft()
