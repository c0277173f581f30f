"""Count and time every statement on an engine."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, event

from .metrics import DATABASE_ERRORS, DATABASE_SECONDS

_BEGUN = "freebits_begun"
_OPERATIONS = frozenset({"select", "insert", "update", "delete", "begin"})


def observe(engine: Engine) -> None:
    """Measure from the driver's call to its return; the rows of a large result may still be on their way."""

    @event.listens_for(engine, "before_cursor_execute")
    def begin(connection: Connection, *_: Any) -> None:
        connection.info[_BEGUN] = time.perf_counter()

    @event.listens_for(engine, "after_cursor_execute")
    def end(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        word = statement[:6].rstrip().lower().partition(" ")[0]
        seconds = time.perf_counter() - connection.info[_BEGUN]
        DATABASE_SECONDS.labels(word if word in _OPERATIONS else "other").observe(seconds)

    @event.listens_for(engine, "handle_error")
    def fail(context: ExceptionContext) -> None:
        DATABASE_ERRORS.labels(type(context.original_exception).__name__).inc()
