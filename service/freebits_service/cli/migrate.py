"""``freebits migrate``: bring the database to this release's tables, or show what that would do."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from .. import settings
from ..context import open_database
from ..migrate import current, head, pending, statements, upgrade
from ..settings import Settings
from .outcome import FAILED, OK, reported

CHECK, DRY_RUN = "--check", "--dry-run"
HELP = """usage: freebits migrate [--check | --dry-run] [settings]

Bring the database to this release's tables. Safe while processes of the release before run, and when several
start it at once.

  --check     change nothing; exit status 1 when there is something to do
  --dry-run   change nothing; print the SQL

Settings are those of `freebits serve`: --database-url, --config, ...
"""


def migrate(argv: Sequence[str]) -> int:
    """Run what is pending; the exit status."""
    arguments = list(argv)
    if {"-h", "--help"} & set(arguments):
        print(HELP, end="")
        return OK
    with reported("migrate") as outcome:
        chosen = settings.load([argument for argument in arguments if argument not in {CHECK, DRY_RUN}])
        outcome.status = _migrate(chosen, checks=CHECK in arguments, shows=DRY_RUN in arguments)
    return outcome.status


def _migrate(chosen: Settings, *, checks: bool, shows: bool) -> int:
    if not chosen.database_url:
        chosen.data.mkdir(parents=True, exist_ok=True)
    with closing(open_database(chosen)) as database:
        found, waiting = current(database), pending(database)
    if not waiting:
        print(f"the database is at revision {head()}; nothing to do")
        return OK
    print(f"the database is at revision {found or 'none'}, this release works on {head()}")
    for revision in waiting:
        print(f"  {revision.number}  {revision.title}")
    if shows:
        print(statements(chosen.sqlalchemy_url, found))
    if checks or shows:
        return FAILED if checks else OK
    upgrade(chosen.sqlalchemy_url)
    print(f"migrated to revision {head()}")
    return OK
