"""What all tables share: moments, row numbers, paths sorted by bytes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, String, TypeDecorator
from sqlalchemy.orm import DeclarativeBase

BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows only for INTEGER
PathText = String().with_variant(String(collation="C"), "postgresql")  # sorted by bytes everywhere


class UtcDateTime(TypeDecorator[datetime]):
    """A moment with its zone; SQLite forgets the zone, so it is put back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Every moment in the database is UTC."""
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class Base(DeclarativeBase):
    """All tables of the hub."""

    type_annotation_map = {datetime: UtcDateTime(), int: BigInteger(), dict[str, Any]: JSON()}  # noqa: RUF012
