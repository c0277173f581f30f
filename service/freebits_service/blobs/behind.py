"""Write in a thread of its own what another one makes, so that both work at once."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from ..settings import MIB
from .files import StagedFile
from .store import Buffer

BATCH_NBYTES = MIB
PENDING = 4  # batches at once: what lies between the two threads


class WrittenBehind:
    """Gathers short pieces, and writes them to a file in order; an error of one is raised at a later call."""

    def __init__(self, file: StagedFile) -> None:
        self._file = file
        self._thread = ThreadPoolExecutor(1, "behind")
        self._pending: deque[Future[int]] = deque()
        self._batch: list[Buffer] = []
        self._gathered = 0

    def write(self, piece: Buffer) -> None:
        """Append a piece; waits when the other thread does not keep up. Raises StorageFull."""
        self._batch.append(piece)
        self._gathered += len(piece)
        if self._gathered >= BATCH_NBYTES:
            self._send()

    def finish(self) -> None:
        """Return when all is written; raises StorageFull."""
        self._send()
        while self._pending:
            self._pending.popleft().result()

    def _send(self) -> None:
        batch, self._batch, self._gathered = b"".join(self._batch), [], 0
        self._pending.append(self._thread.submit(self._file.write, batch))
        if len(self._pending) > PENDING:
            self._pending.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)
