"""The database: one engine, and one way to run a transaction.

Statements live in the ``queries.py`` files and are plain SQLAlchemy; what SQLite needs beyond that is here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from .errors import StorageFull

BUSY_TIMEOUT_MS = 30_000
_WRITES = "freebits_writes"
_MAX_PARAMETERS = 500  # of one IN list; SQLite before 3.32 takes 999 per statement

T = TypeVar("T")


class Database:
    """Connections to the hub's database; safe to share between threads."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url, pool_size=10, max_overflow=60, pool_pre_ping=not url.startswith("sqlite"))
        if self._engine.dialect.name == "sqlite":
            _prepare_sqlite(self._engine)
        self._writing_engine = self._engine.execution_options(**{_WRITES: True})

    @property
    def engine(self) -> Engine:
        """For migrations and tests; everything else uses `transaction` and `snapshot`."""
        return self._engine

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session that may write: committed when the block ends, rolled back when it raises.

        Raises
        ------
        StorageFull
            The database could not grow; nothing of the block was kept.
        """
        with (
            _storage_full_translated(),
            Session(self._writing_engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """A session that only reads; never waits for a writer on SQLite."""
        with Session(self._engine, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Close all idle connections."""
        self._engine.dispose()


def _prepare_sqlite(engine: Engine) -> None:
    """WAL, foreign keys, waiting for locks, and writers that take the lock at BEGIN.

    A transaction that reads first and writes later cannot wait for another writer in SQLite (its snapshot
    would be stale), so a writing transaction begins IMMEDIATE. ``synchronous=FULL``: a commit survives a
    power cut.
    """

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions behind our back
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _storage_full_translated() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if _is_disk_full(error.orig):
            raise StorageFull() from error
        raise


def _is_disk_full(error: BaseException | None) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
    return getattr(error, "sqlstate", None) == "53100"  # disk_full of the SQL standard's class 53


def batches(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut a sequence so that each piece fits into one statement."""
    return (values[start : start + _MAX_PARAMETERS] for start in range(0, len(values), _MAX_PARAMETERS))
