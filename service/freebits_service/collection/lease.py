"""One collection at a time, over all workers and commands: a row with an owner and an expiry.

The row saves work, it protects nothing: every deletion checks its condition again under row locks, so two collections
whose clocks disagree do no harm.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.exc import IntegrityError

from ..clock import in_seconds
from ..db import Database
from ..errors import CollectionRunning
from . import queries

COLLECTION, REPAIR = "collection", "repair"
EXPIRES_AFTER_S = 60.0
EXTEND_EVERY_S = 10.0
POLL_S = 0.2


@dataclass(slots=True)
class Hold:
    """The right to collect; `keep` between two batches."""

    db: Database
    name: str
    owner: str
    place: int
    place_at: datetime
    _kept_at: float = field(default_factory=time.monotonic)

    def keep(self) -> None:
        """Extend the lease and note the place, every so often; raises CollectionRunning when somebody else has it."""
        if time.monotonic() - self._kept_at < EXTEND_EVERY_S:
            return
        self._write(in_seconds(EXPIRES_AFTER_S))
        self._kept_at = time.monotonic()

    def end(self) -> None:
        """Give the lease back and keep the place."""
        self._write(in_seconds(0))

    def _write(self, expires_at: datetime) -> None:
        with self.db.transaction() as session:
            if not queries.extend_lease(session, self.name, self.owner, expires_at, self.place, self.place_at):
                raise _running(self.db, self.name)


@contextmanager
def only_one(db: Database, name: str) -> Iterator[Hold]:
    """Hold the lease for work of this name; raises CollectionRunning."""
    owner = f"{socket.gethostname()[:64]}:{os.getpid()}:{secrets.token_hex(4)}"
    hold = _take(db, name, owner, EXPIRES_AFTER_S)
    try:
        yield hold
    finally:
        hold.end()


def pause(db: Database, seconds: float, wait_s: float = 600) -> None:
    """Let nobody collect for so long, for a backup; 0 ends a pause.

    A pause that is going on may be made longer or shorter; a collection that is running is waited for. Raises
    CollectionRunning when it has not ended after `wait_s`.
    """
    give_up_at = time.monotonic() + wait_s
    while True:
        try:
            _take(db, COLLECTION, "paused", seconds)
            return
        except CollectionRunning:
            if time.monotonic() >= give_up_at:
                raise
        time.sleep(POLL_S)


def _take(db: Database, name: str, owner: str, seconds: float) -> Hold:
    try:
        with db.transaction() as session:
            taken = queries.take_lease(session, name, owner, in_seconds(seconds))
    except IntegrityError:  # two made the row at once
        taken = None
    if taken is None:
        raise _running(db, name)
    return Hold(db, name, owner, taken.place, taken.place_at)


def _running(db: Database, name: str) -> CollectionRunning:
    with db.snapshot() as session:
        lease = queries.find_lease(session, name)
    owner, until = (lease.owner, lease.expires_at.isoformat(timespec="seconds")) if lease else ("nobody", "now")
    return CollectionRunning(
        f"one {name} runs at a time, and {owner!r} holds it until {until}; wait until it has ended "
        "(a pause is ended by `freebits gc --pause 0`)"
    )
