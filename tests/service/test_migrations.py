"""The migrations make exactly the tables of the models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from freebits_service.db import Database
from freebits_service.migrate import alembic_config, upgrade
from freebits_service.models import Base
from freebits_service.settings import Settings


@pytest.fixture
def url(tmp_path: Path) -> str:
    """An empty database."""
    return f"sqlite:///{tmp_path / 'empty.sqlite3'}"


def test_migrations_from_empty_match_the_models(url: str) -> None:
    """Autogeneration finds nothing to change; migrating again does nothing."""
    upgrade(url)
    upgrade(url)
    database = Database(url)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    database.close()


def test_migrations_can_be_undone(url: str) -> None:
    """Down to nothing, and up again."""
    upgrade(url)
    command.downgrade(alembic_config(url), "base")
    database = Database(url)
    with database.engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
    database.close()
    upgrade(url)


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
