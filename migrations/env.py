"""Runs the migrations on the database that the hub's settings name; has no URL of its own.

``alembic.ini`` is not needed: the hub calls ``freebits_service.migrate``, which hands over the URL.
"""

from __future__ import annotations

from alembic import context

from freebits_service.db import Database, normalized_url
from freebits_service.migrate import alone
from freebits_service.models import Base
from freebits_service.settings import load


def run() -> None:
    """One transaction per revision. SQLite cannot alter most things, so changes there go by copying (batch)."""
    url = context.config.attributes.get("url") or load().sqlalchemy_url
    if context.is_offline_mode():
        context.configure(url=normalized_url(url), target_metadata=Base.metadata, literal_binds=True)
        with context.begin_transaction():
            context.run_migrations()
        return
    database = Database(url)
    try:
        with database.engine.connect() as connection, alone(connection):
            context.configure(
                connection=connection,
                target_metadata=Base.metadata,
                render_as_batch=True,
                transaction_per_migration=True,
            )
            with context.begin_transaction():
                context.run_migrations()
            if connection.dialect.name == "postgresql":
                # New columns and indexes have no statistics, and without them Postgres scans where an index would do.
                connection.exec_driver_sql("ANALYZE")
                connection.commit()
    finally:
        database.close()


run()
