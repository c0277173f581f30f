"""Hash an upload while its parts arrive, where they come in order, one at a time and each once, as by Git LFS.

Then nothing has to be read again when it is completed, and a part needs no digest of its own. It holds only where no
other process writes to what is staged (`BlobStore.is_exclusive`), and as long as nobody sends a part out of turn:
whatever disturbs the order makes the hub read and hash the whole at the end, as it does with all other uploads.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

MAX_REMEMBERED = 10_000  # uploads of this process; of more than that the oldest is read again at its end
Hash = Any  # what hashlib makes; it has no name of its own


@dataclass(slots=True)
class _Progress:
    """Parts ``[0, following)`` are in `digest`; `is_disturbed` once and for all."""

    digest: Hash = field(default_factory=hashlib.sha256)
    following: int = 0
    is_busy: bool = False
    is_disturbed: bool = False


class Turn:
    """One part: its bytes go into `digest`, a copy that counts if the part is kept; None where it is out of turn."""

    def __init__(self, digest: Hash | None) -> None:
        self.digest = digest
        self.is_kept = False


class InOrder:
    """The uploads of this process whose parts have come in order so far."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._uploads: OrderedDict[str, _Progress] = OrderedDict()

    @contextmanager
    def turn(self, upload_id: str, number: int, *, counts: bool) -> Iterator[Turn]:
        """While a part arrives; one that does not count disturbs those that do."""
        with self._lock:
            progress = self._progress(upload_id)
            is_next = counts and number == progress.following and not progress.is_busy and not progress.is_disturbed
            if is_next:
                progress.is_busy = True
            else:
                progress.is_disturbed = True
            turn = Turn(progress.digest.copy() if is_next else None)
        try:
            yield turn
        finally:
            if is_next:
                with self._lock:
                    progress.is_busy = False
                    if turn.is_kept:
                        progress.digest, progress.following = turn.digest, number + 1

    def take_digest(self, upload_id: str, part_count: int) -> str | None:
        """SHA-256 of all parts, if all came in order; what was remembered of the upload is forgotten."""
        with self._lock:
            progress = self._uploads.pop(upload_id, None)
            if progress is None or progress.is_disturbed or progress.is_busy or progress.following != part_count:
                return None
            digest: str = progress.digest.hexdigest()
            return digest

    def _progress(self, upload_id: str) -> _Progress:
        if upload_id not in self._uploads:
            self._uploads[upload_id] = _Progress()
            if len(self._uploads) > MAX_REMEMBERED:
                self._uploads.popitem(last=False)
        return self._uploads[upload_id]


IN_ORDER = InOrder()
