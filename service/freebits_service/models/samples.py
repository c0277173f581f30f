"""What was last counted of the whole hub."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from .tables import Base


class Sample(Base):
    """A count of many rows. Whoever first finds it due moves `due_at` on and takes it; everybody reads it."""

    __tablename__ = "sample"
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    due_at: Mapped[datetime]
    taken_at: Mapped[datetime | None]
    value: Mapped[dict[str, Any]]
