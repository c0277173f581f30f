"""The migrations: exactly the tables of the models, from every revision, with data, by one process at a time."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, Table, func, inspect, select
from sqlalchemy.exc import OperationalError

from freebits_service import migrate as migrations
from freebits_service.cli.migrate import migrate as migrate_command
from freebits_service.db import Database, normalized_url
from freebits_service.errors import DatabaseNotMigrated
from freebits_service.migrate import alembic_config, current, downgrade, head, pending, require_current, upgrade
from freebits_service.models import Base
from freebits_service.settings import Settings

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
REVISIONS = [
    script.revision for script in reversed(list(ScriptDirectory.from_config(alembic_config("")).walk_revisions()))
]
# What the first release writes; every later revision must take it as it is.
FIRST_ROWS: dict[str, dict[str, Any]] = {
    "user": {"id": 1, "name": "ada", "role": "user", "created_at": MOMENT},
    "token": {"id": 1, "user_id": 1, "digest": "d" * 64, "label": "x", "created_at": MOMENT},
    "repo": {"namespace": "ada", "name": "m", "visibility": "public", "default_branch": "main", "created_at": MOMENT},
    "blob": {"id": 1, "sha256": "a" * 64, "nbytes": 5, "state": "raw", "raw_key": "k", "created_at": MOMENT},
    "job": {
        "key": "encode:a",
        "queue": "cpu",
        "blob_id": 1,
        "state": "queued",
        "attempt": 0,
        "failures": 0,
        "not_before": MOMENT,
        "progress_nbytes": 0,
        "outcome": "",
        "created_at": MOMENT,
    },
    "worker": {"id": "w", "queue": "cpu", "pid": 1, "started_at": MOMENT, "heartbeat_at": MOMENT},
    "audit": {"at": MOMENT, "user": "ada", "action": "x", "repo": "", "detail": {}},
}


@pytest.fixture
def url(request: pytest.FixtureRequest, engine_name: str, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    if engine_name == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.sqlite3'}"
        return
    server, name = request.getfixturevalue("postgres"), f"empty_{uuid.uuid4().hex[:12]}"
    yield server.create_database(name)
    server.drop_database(name)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """The same, open."""
    opened = Database(url)
    yield opened
    opened.close()


def insert_first_rows(database: Database) -> None:
    """As the code of the first release would, which knows none of the later columns."""
    with database.engine.begin() as connection:
        for name, row in FIRST_ROWS.items():
            known = {column["name"] for column in inspect(connection).get_columns(name)}
            table = Table(name, MetaData(), autoload_with=connection)
            assert set(row) <= known
            connection.execute(table.insert(), [row])


def count_rows(database: Database) -> dict[str, int]:
    """Rows by table, of those that the first release fills."""
    with database.engine.connect() as connection:
        tables = {name: Table(name, MetaData(), autoload_with=connection) for name in FIRST_ROWS}
        return {n: connection.scalar(select(func.count()).select_from(t)) or 0 for n, t in tables.items()}


def test_migrations_from_empty_match_the_models(url: str, database: Database) -> None:
    """Autogeneration finds nothing to change; migrating again does nothing."""
    upgrade(url)
    upgrade(url)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_every_revision_keeps_the_data(url: str, database: Database) -> None:
    """Step by step up to this release and down again, with rows of the first release in all tables."""
    upgrade(url, REVISIONS[0])
    insert_first_rows(database)
    expected = count_rows(database)
    for revision in REVISIONS[1:]:
        upgrade(url, revision)
        assert (current(database), count_rows(database)) == (revision, expected)
    for revision in reversed(REVISIONS[:-1]):
        downgrade(url, revision)
        assert (current(database), count_rows(database)) == (revision, expected)
    upgrade(url)
    assert count_rows(database) == expected
    downgrade(url, "base")
    with database.engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]


def test_the_release_before_goes_on_writing(url: str, database: Database) -> None:
    """Its inserts name only the columns it knows, and work on the new tables."""
    upgrade(url)
    insert_first_rows(database)
    assert set(count_rows(database).values()) == {1}


@pytest.mark.parametrize("revision", [None, *REVISIONS[:-1]])
def test_older_tables_are_refused(url: str, database: Database, revision: str | None) -> None:
    """The message names both revisions and the command."""
    if revision is not None:
        upgrade(url, revision)
    with pytest.raises(DatabaseNotMigrated, match=r"freebits migrate") as refused:
        require_current(database)
    assert head() in refused.value.message
    assert (revision or "empty") in refused.value.message
    assert [waiting.number for waiting in pending(database)] == REVISIONS[REVISIONS.index(revision or "0001") :][
        bool(revision) :
    ]


def test_tables_of_a_newer_release_are_served_and_left_alone(url: str, database: Database) -> None:
    """So that replicas of the release before can be started while a rollout goes on; migrating asks for the newer."""
    upgrade(url)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert require_current(database) == "9999"
    with pytest.raises(DatabaseNotMigrated, match="release that knows"):
        pending(database)


@pytest.mark.parametrize("engine_name", ["postgres"], indirect=True)
def test_two_migrations_at_once(url: str, database: Database) -> None:
    """One waits for the other and then finds nothing to do."""
    failures: list[BaseException] = []

    def migrate() -> None:
        try:
            upgrade(url)
        except BaseException as error:
            failures.append(error)

    # Alembic keeps its context in module globals, so the second one at the lock is another connection.
    with database.engine.connect() as other, migrations.alone(other):
        thread = threading.Thread(target=migrate)
        thread.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not other.exec_driver_sql(waiting).scalar():
            other.rollback()
        other.rollback()
        assert current(database) is None
    thread.join(60)
    assert failures == []
    assert current(database) == head()


@pytest.mark.parametrize("engine_name", ["postgres"], indirect=True)
def test_a_migration_does_not_queue_everybody_behind_it(
    url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives up when a table is in use for long, and leaves what it found."""
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT_S", 1)
    upgrade(url, REVISIONS[0])
    with closing(Database(url)) as other, other.engine.connect() as reader:
        reader.exec_driver_sql('LOCK TABLE job, worker, "user", repo, blob IN ACCESS SHARE MODE')
        with pytest.raises(OperationalError, match="lock timeout"):
            upgrade(url)
        reader.rollback()
    assert current(database) in REVISIONS[:-1]
    upgrade(url)
    assert current(database) == head()


def test_the_command(url: str, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--check`` and ``--dry-run`` change nothing and show what is missing; without them it is done."""
    settings = ["--data", str(tmp_path / "hub"), "--database-url", url]
    assert migrate_command(["--check", *settings]) == 1
    assert migrate_command(["--dry-run", *settings]) == 0
    shown = capsys.readouterr().out
    assert all(revision in shown for revision in REVISIONS)
    assert "CREATE TABLE blob" in shown
    assert current(database) is None
    assert migrate_command(settings) == 0
    assert current(database) == head()
    assert migrate_command(["--check", *settings]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_urls_of_postgres_mean_psycopg() -> None:
    """As they are usually written."""
    for written in ("postgresql://u:p%40@h:1/d", "postgresql+psycopg://u:p%40@h:1/d"):
        assert normalized_url(written) == "postgresql+psycopg://u:p%40@h:1/d"


def test_every_foreign_key_has_an_index(make_settings: Callable[..., Settings]) -> None:
    """Deleting a row must not scan the tables that refer to it, except users, who are few and stay."""
    for table in Base.metadata.tables.values():
        leading = {next(iter(index.columns)).name for index in table.indexes}
        leading.add(next(iter(table.primary_key.columns)).name)
        leading |= {
            next(iter(constraint.columns)).name
            for constraint in table.constraints
            if getattr(constraint, "columns", None) and len(constraint.columns) > 1
        }
        for key in table.foreign_keys:
            assert key.parent.name in leading, f"{table.name}.{key.parent.name}"
