"""When tokens were last used, written down by the batch, so that no request that reads has to write."""

from __future__ import annotations

import threading
from datetime import datetime

from ..clock import now
from ..db import Database, batches
from . import queries

FLUSH_S = 60.0
MAX_TOKENS = 100_000


class LastUse:
    """The tokens seen since the last flush; each is written at most once per flush and process."""

    def __init__(self) -> None:
        self._seen: dict[int, datetime] = {}
        self._lock = threading.Lock()

    def note(self, token_id: int) -> None:
        """A token was used just now."""
        with self._lock:
            if token_id in self._seen or len(self._seen) < MAX_TOKENS:
                self._seen[token_id] = now()

    def flush(self, db: Database) -> None:
        """Write down what was seen; what cannot be written is lost (it is a hint for people)."""
        with self._lock:
            seen, self._seen = self._seen, {}
        # In the same order everywhere and few at a time: replicas that write the same rows wait for a moment only.
        for some in batches(sorted(seen.items())):
            with db.transaction() as session:
                queries.set_last_used(session, some)
