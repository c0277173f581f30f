"""The database, SQLite or Postgres: one engine, and two ways to run a transaction.

Statements live in the ``queries.py`` files and are plain SQLAlchemy; what one of the two databases needs beyond
that is here. SQLite has one writer at a time. Postgres has many: transactions are READ COMMITTED, what must not
change while it is relied on is locked (``with_for_update``, which SQLite does without) or compared and set, and
unique constraints decide races. `Database.run` does a transaction again that lost one.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy import exc as sql
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from .errors import DatabaseUnavailable, InvalidRequest, StorageFull
from .models.tables import Base
from .statement_metrics import observe

BUSY_TIMEOUT_MS = 30_000
CONNECTIONS = 20
KEPT_CONNECTIONS = 5
STATEMENT_TIMEOUT_S = 60.0
IDLE_IN_TRANSACTION_S = 60.0  # a process that froze in a transaction lets go of its locks after this
TRIES = 6
LONGEST_WAIT_S = 2.0
_WRITES = "freebits_writes"
_MAX_PARAMETERS = 500  # of one IN list; SQLite before 3.32 takes 999 per statement

# SQLSTATE: serialization failure, deadlock, and constraints that a concurrent transaction made us violate
_LOST_RACE = frozenset({"40001", "40P01", "23505", "23503"})
# Classes of SQLSTATE: connection exception, shutting down, no more connections; and a lock or time that ran out
_UNAVAILABLE = ("08", "57P", "53300", "55P03", "57014")
_DISK_FULL = "53100"

T = TypeVar("T")
log = structlog.get_logger()


def normalized_url(url: str) -> str:
    """The URL with its driver: ``postgresql://`` and ``postgres://`` mean psycopg 3."""
    parsed = make_url(url)
    if parsed.drivername in {"postgresql", "postgres"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed.render_as_string(hide_password=False)


class Database:
    """Connections to the hub's database; safe to share between threads."""

    def __init__(
        self, url: str, *, connections: int = CONNECTIONS, statement_timeout_s: float = STATEMENT_TIMEOUT_S
    ) -> None:
        """`connections` and `statement_timeout_s` are for Postgres: most connections, longest statement."""
        url = normalized_url(url)
        if url.startswith("sqlite"):
            self._engine = create_engine(url, pool_size=10, max_overflow=60, hide_parameters=True)
            _prepare_sqlite(self._engine)
            self._reading_engine = self._engine
        else:
            self._engine = _postgres_engine(url, connections, statement_timeout_s)
            # One snapshot for all statements of a reader, so that it never sees half of somebody's transaction.
            self._reading_engine = self._engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        observe(self._engine)
        self._writing_engine = self._engine.execution_options(**{_WRITES: True})

    @property
    def engine(self) -> Engine:
        """For migrations and tests; everything else uses `transaction`, `run` and `snapshot`."""
        return self._engine

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session that may write: committed when the block ends, rolled back when it raises.

        Raises
        ------
        StorageFull
            The database could not grow; nothing of the block was kept.
        DatabaseUnavailable
            No connection, or it broke, or a lock was not to be had in time; may be tried again.
        InvalidRequest
            A value that the database cannot hold.
        """
        with _translated(), Session(self._writing_engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """A session that only reads, all of it as of one moment; never waits for a writer."""
        with _translated(), Session(self._reading_engine, expire_on_commit=False) as session, session.begin():
            yield session

    def run(self, work: Callable[[Session], T], *, patience_s: float = 0) -> T:
        """Run `work` in a transaction, again if that lost a race or its connection; `work` must bear that.

        A database that is away is waited for `patience_s` seconds, a few tries in any case. Raises what
        `transaction` does, and the database's own error for a race that is lost again and again.
        """
        tries, give_up_at = 0, time.monotonic() + patience_s
        while True:
            try:
                with self.transaction() as session:
                    return work(session)
            except (sql.DBAPIError, DatabaseUnavailable) as error:
                tries += 1
                is_away = isinstance(error, DatabaseUnavailable)
                if not is_away and not _lost_race(error):
                    raise
                if tries >= TRIES and not (is_away and time.monotonic() < give_up_at):
                    raise
                log.debug("a transaction is run again", tries=tries, error=str(error)[:200])
            time.sleep(random.uniform(0, min(0.02 * 2**tries, LONGEST_WAIT_S)))

    def close(self) -> None:
        """Close all idle connections."""
        self._engine.dispose()


def insert_missing(session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """Insert the rows, leaving out those that exist already, also when somebody inserts them at this moment.

    The primary keys of those that were inserted.

    Callers sort the rows, so that two who insert the same ones wait for each other instead of in a circle.
    """
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    inserted: list[tuple[Any, ...]] = []
    for some in batches(rows):
        statement = insert(table).on_conflict_do_nothing().returning(*table.__table__.primary_key)
        inserted += [tuple(key) for key in session.execute(statement, list(some))]
    return inserted


def batches(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut a sequence so that each piece fits into one statement."""
    return (values[start : start + _MAX_PARAMETERS] for start in range(0, len(values), _MAX_PARAMETERS))


def _postgres_engine(url: str, connections: int, statement_timeout_s: float) -> Engine:
    kept = min(KEPT_CONNECTIONS, connections)
    limits = {
        "statement_timeout": statement_timeout_s,
        "lock_timeout": statement_timeout_s / 2,
        "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_S,
    }
    options = " ".join(f"-c {name}={round(seconds * 1000)}" for name, seconds in limits.items())
    arguments: dict[str, Any] = {"connect_timeout": 10, "application_name": "freebits", "keepalives_idle": 30}
    if "options" not in make_url(url).query:
        arguments["options"] = options
    return create_engine(
        url,
        pool_size=kept,
        max_overflow=connections - kept,
        pool_timeout=statement_timeout_s / 2,
        pool_pre_ping=True,
        hide_parameters=True,  # errors are logged, and what a statement was given may be secret
        connect_args=arguments,
    )


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
def _translated() -> Iterator[None]:
    """Say in the hub's own errors what is no mistake of the hub's."""
    try:
        yield
    except (sql.DataError, OverflowError) as error:
        # A NUL in a text, a number beyond 64 bits, a name longer than its column.
        raise InvalidRequest(f"the database cannot hold a value of the request: {_first_line(error)}") from error
    except sql.TimeoutError as error:
        raise DatabaseUnavailable("all connections of this process to the database are busy; try again") from error
    except sql.DBAPIError as error:
        if _is_disk_full(error.orig):
            raise StorageFull() from error
        if error.connection_invalidated or _is_unavailable(error.orig):
            raise DatabaseUnavailable(f"the database does not answer: {_first_line(error)}; try again") from error
        raise


def _lost_race(error: BaseException) -> bool:
    cause = getattr(error, "orig", None)
    if isinstance(cause, sqlite3.Error):
        return isinstance(cause, sqlite3.IntegrityError)
    return getattr(cause, "sqlstate", None) in _LOST_RACE


def _is_disk_full(error: BaseException | None) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
    return getattr(error, "sqlstate", None) == _DISK_FULL


def _is_unavailable(error: BaseException | None) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
    state = getattr(error, "sqlstate", "") or ""
    # Without an SQLSTATE it never reached a server that could have made one.
    return state.startswith(_UNAVAILABLE) if state else type(error).__name__ == "OperationalError"


def _first_line(error: BaseException) -> str:
    """Of the driver's message: the rest may quote the values."""
    return (str(getattr(error, "orig", error)).splitlines() or [""])[0][:200]
