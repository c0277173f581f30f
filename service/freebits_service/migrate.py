"""Bring a database to the tables of this release."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config

_PACKAGE = Path(__file__).resolve().parent


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


def upgrade(url: str) -> None:
    """Run the migrations that the database at this SQLAlchemy URL has not seen."""
    command.upgrade(alembic_config(url), "head")


def alembic_config(url: str) -> Config:
    """Alembic's configuration for a database."""
    config = Config()
    config.set_main_option("script_location", str(scripts()).replace("%", "%%"))
    config.attributes["url"] = url
    return config
