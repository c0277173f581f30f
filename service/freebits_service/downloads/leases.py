"""Which blobs are being read, so that the collector leaves their objects alone.

Writing a row for every GET would make readers wait for writers. Instead a process counts its open blobs in
memory and every `FLUSH_S` seconds extends the lease of all of them in one statement. A read shorter than that
needs no lease: an object stays for the grace period after it stopped being served, and the grace period of
the collector is never taken shorter than two flushes.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from functools import partial

from sqlalchemy import update
from sqlalchemy.orm import Session

from ..clock import in_seconds
from ..db import Database, batches
from ..models import Blob

FLUSH_S = 30.0
LEASE_S = 4 * FLUSH_S
LEAST_GRACE_S = 2 * FLUSH_S


class OpenBlobs:
    """Counts the readers of each blob in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers: Counter[int] = Counter()

    def opened(self, blob_id: int) -> None:
        """A reader has begun."""
        with self._lock:
            self._readers[blob_id] += 1

    def closed(self, blob_id: int) -> None:
        """A reader has ended."""
        with self._lock:
            self._readers[blob_id] -= 1
            if self._readers[blob_id] <= 0:
                del self._readers[blob_id]

    def ids(self) -> list[int]:
        """The blobs that are being read now."""
        with self._lock:
            return list(self._readers)

    def extend_leases(self, db: Database) -> None:
        """Extend the lease of every blob that is being read."""
        ids = self.ids()
        if not ids:
            return
        for some in batches(ids):
            db.run(partial(_extend, blob_ids=some))


def _extend(session: Session, blob_ids: Sequence[int]) -> None:
    session.execute(update(Blob).where(Blob.id.in_(blob_ids)).values(leased_until=in_seconds(LEASE_S)))
