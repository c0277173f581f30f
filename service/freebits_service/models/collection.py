"""Who may do what only one may do at a time."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from .tables import Base


class Lease(Base):
    """Work that one process at a time does (`name`): who, until when, and how far it is.

    `place` counts what is done of the present round, `place_at` is when that began.
    """

    __tablename__ = "lease"
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str] = mapped_column(String(128))
    expires_at: Mapped[datetime]
    place: Mapped[int]
    place_at: Mapped[datetime]
