"""Runs the migrations on the database that the hub's settings name; has no URL of its own.

``alembic.ini`` is not needed: the hub calls ``freebits_service.migrate``, which hands over the URL.
"""

from __future__ import annotations

from alembic import context

from freebits_service.db import Database
from freebits_service.models import Base
from freebits_service.settings import load


def run() -> None:
    """Run online, in one transaction. SQLite cannot alter most things, so changes there go by copying (batch)."""
    database = Database(context.config.attributes.get("url") or load().sqlalchemy_url)
    with database.engine.connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
        with context.begin_transaction():
            context.run_migrations()
    database.close()


run()
