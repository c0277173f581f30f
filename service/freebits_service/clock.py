"""The time, in one zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def now() -> datetime:
    """This moment, UTC."""
    return datetime.now(UTC)


def in_seconds(seconds: float) -> datetime:
    """The moment so many seconds from now; negative for the past."""
    return now() + timedelta(seconds=seconds)
