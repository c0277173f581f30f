"""What every request and every job works with."""

from __future__ import annotations

from dataclasses import dataclass

from .blobs.measured import measured
from .blobs.opening import open_store
from .blobs.store import BlobStore
from .db import Database
from .settings import Settings


@dataclass(frozen=True, slots=True)
class Hub:
    """Settings, database and store of one process."""

    settings: Settings
    db: Database
    store: BlobStore


def open_hub(settings: Settings) -> Hub:
    """Open the database and the store that the settings name; raises StorageFull when the disk is full."""
    return Hub(settings, open_database(settings), measured(open_store(settings)))


def open_database(settings: Settings) -> Database:
    """The database that the settings name; connects when it is used first."""
    return Database(
        settings.sqlalchemy_url,
        connections=settings.database_connections,
        statement_timeout_s=settings.database_timeout_s,
    )
