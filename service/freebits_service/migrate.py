"""Bring a database to the tables of this release, and refuse to work on any other.

The rule for migrations: while one runs, and afterwards, processes of the release before go on working on the same
database. So tables and columns are only added, new columns can be NULL or have a default in the server, and nothing
is renamed or dropped until a release later. On Postgres a migration waits a few seconds for a lock at most
(otherwise everybody would queue behind it), indexes are built beside writers, each revision is a transaction, and
an advisory lock lets one process migrate while others wait for it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from .db import Database
from .errors import DatabaseNotMigrated

LOCK_KEY = 0x667265656269  # "freebi": the advisory lock of migrations in a Postgres database
LOCK_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 600
_PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Revision:
    """A migration: its number and what it does."""

    number: str
    title: str


def scripts() -> Path:
    """Folder of the migrations: inside an installed package, or at the root of a checkout.

    Raises
    ------
    FileNotFoundError
        The installation lacks them.
    """
    for folder in (_PACKAGE / "migrations", _PACKAGE.parents[1] / "migrations"):
        if (folder / "env.py").exists():
            return folder
    raise FileNotFoundError(f"no migrations beside {_PACKAGE}; reinstall freebits with its [service] extra")


def upgrade(url: str, revision: str = "head") -> None:
    """Run the migrations up to `revision` that the database at this SQLAlchemy URL has not seen."""
    command.upgrade(alembic_config(url), revision)


def downgrade(url: str, revision: str) -> None:
    """Undo the migrations after `revision`; what only the newer tables hold is lost."""
    command.downgrade(alembic_config(url), revision)


@cache
def head() -> str:
    """The revision of this release."""
    newest = ScriptDirectory.from_config(alembic_config("")).get_current_head()
    assert newest is not None
    return newest


@cache
def known() -> frozenset[str]:
    """All revisions that this release knows."""
    directory = ScriptDirectory.from_config(alembic_config(""))
    return frozenset(script.revision for script in directory.walk_revisions())


def current(database: Database) -> str | None:
    """The revision that the database is at; None when it is empty. Raises DatabaseUnavailable."""
    with database.snapshot() as session:
        return MigrationContext.configure(session.connection()).get_current_revision()


def pending(database: Database) -> list[Revision]:
    """The migrations that `upgrade` would run, first ones first.

    Raises
    ------
    DatabaseNotMigrated
        The database is at a revision that this release does not know: a newer release migrated it.
    """
    found = current(database)
    if found is not None and found not in known():
        raise DatabaseNotMigrated(found, head())
    directory = ScriptDirectory.from_config(alembic_config(""))
    waiting = directory.iterate_revisions(head(), found or "base")
    return [Revision(script.revision, script.doc) for script in reversed(list(waiting)) if script is not None]


def statements(url: str, start: str | None) -> str:
    """The SQL that `upgrade` would run on a database at revision `start`."""
    config = alembic_config(url)
    config.output_buffer = io.StringIO()
    command.upgrade(config, f"{start or 'base'}:head", sql=True)
    return config.output_buffer.getvalue()


def require_current(database: Database) -> str:
    """The revision of the database; raises DatabaseNotMigrated when it is behind this release.

    One that is ahead is fine: migrations are additive, so that they run first and the replicas of the release
    before go on, and may be started anew, until they are replaced.
    """
    found, expected = current(database), head()
    if found is None or (found in known() and found != expected):
        raise DatabaseNotMigrated(found, expected)
    return found


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """Let no other process migrate this Postgres database meanwhile, and do not make others wait for long.

    SQLite lets one writer in at a time anyway.
    """
    if connection.dialect.name != "postgresql":
        yield
        return
    connection.execute(text(f"SET statement_timeout = '{STATEMENT_TIMEOUT_S}s'"))
    connection.execute(text("SET lock_timeout = 0"))
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
    connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT_S}s'"))
    connection.commit()
    try:
        yield
    finally:
        if not connection.closed and not connection.invalidated:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK_KEY})
            connection.commit()


def add_index(op: Operations, name: str, table: str, columns: list[str]) -> None:
    """Build an index while others write; one that an interrupted build left behind is built anew."""
    if op.get_context().dialect.name != "postgresql":
        op.create_index(name, table, columns)
        return
    with op.get_context().autocommit_block():
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
        op.create_index(name, table, columns, postgresql_concurrently=True)


def alembic_config(url: str) -> Config:
    """Alembic's configuration for a database."""
    config = Config()
    config.set_main_option("script_location", str(scripts()).replace("%", "%%"))
    config.attributes["url"] = url
    return config
