"""Which of the things that a replica needs can be used now: database, its tables, store.

Each is asked by itself and within a time limit, so that one that hangs neither hides the others nor the
answer. Strangers may read the answer: it names the kind of an error; the log has its text.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from .context import Hub
from .db import Database
from .errors import StorageFull
from .migrate import require_current
from .single_flight import SingleFlight

log = structlog.get_logger()
Facts = Mapping[str, Any]


class Readiness:
    """Asks the dependencies of one hub process; use from one event loop.

    `db` is a `Database` of its own: a replica that has all its connections in use is busy, not broken.
    """

    def __init__(self, hub: Hub, db: Database) -> None:
        self._timeout_s = hub.settings.readiness_timeout_s
        self._checks = [
            _check("database", lambda: _ask_database(db)),
            _check("migrations", lambda: _ask_migrations(db)),
            _check("store", lambda: _ask_store(hub)),
        ]
        self._failing: dict[str, str] = {}

    async def findings(self) -> dict[str, Facts]:
        """What each dependency answered: `status` is ``ok`` or ``down``, the rest says more."""
        found = await asyncio.gather(*(self._finding(check) for check in self._checks))
        return dict(zip((check.name for check in self._checks), found, strict=True))

    async def _finding(self, check: SingleFlight[Facts]) -> Facts:
        try:
            facts = await check.result(self._timeout_s)
        except TimeoutError:
            return self._down(check.name, f"no answer within {self._timeout_s:g} s", "timeout")
        except Exception as error:  # whatever a dependency raises, it cannot be used: that is the answer
            return self._down(check.name, str(error), type(error).__name__)
        if self._failing.pop(check.name, None):
            log.info("a dependency can be used again", dependency=check.name)
        return {"status": "ok", **facts}

    def _down(self, name: str, text: str, kind: str) -> Facts:
        if self._failing.get(name) != kind:  # once, not at every probe
            log.error("a dependency cannot be used", dependency=name, kind=kind, error=text[:500])
        self._failing[name] = kind
        return {"status": "down", "error": kind}


def _check(name: str, ask: Callable[[], Facts]) -> SingleFlight[Facts]:
    def timed() -> Facts:
        begun = time.monotonic()
        facts = ask()
        return {"seconds": round(time.monotonic() - begun, 4), **facts}

    return SingleFlight(name, timed)


def _ask_database(db: Database) -> Facts:
    with db.snapshot() as session:
        session.connection().exec_driver_sql("SELECT 1")
    return {}


def _ask_migrations(db: Database) -> Facts:
    return {"revision": require_current(db)}


def _ask_store(hub: Hub) -> Facts:
    """A store that has no room cannot be used either, as far as it knows."""
    hub.store.check()
    free = hub.store.free_nbytes()
    if free is not None and free < hub.settings.min_free_nbytes:
        raise StorageFull(f"{free} bytes are free on the hub's storage, {hub.settings.min_free_nbytes} are kept")
    return {"free_nbytes": free}
