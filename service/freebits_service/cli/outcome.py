"""How a command of the service ends: exit statuses (those of the client) and one line on stderr for what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import ServiceError
from ..lock import DataFolderInUse
from ..settings import InvalidSettings

OK, FAILED, USAGE, DAMAGED, NO_SPACE, INTERRUPTED = 0, 1, 2, 6, 7, 130


@dataclass(slots=True)
class Outcome:
    """The exit status of a command."""

    status: int = FAILED


@contextmanager
def reported(command: str) -> Iterator[Outcome]:
    """Run a command; errors that its user can act on become one line and a status, others pass."""
    outcome = Outcome()
    try:
        yield outcome
    except InvalidSettings as error:
        outcome.status = _refuse(command, str(error), USAGE)
    except DataFolderInUse as error:
        outcome.status = _refuse(command, str(error), FAILED)
    except ServiceError as error:
        outcome.status = _refuse(command, error.message, NO_SPACE if error.code == "STORAGE_FULL" else FAILED)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        outcome.status = _refuse(command, f"{error.strerror or error}{where}", FAILED)


def _refuse(command: str, message: str, status: int) -> int:
    print(f"freebits {command}: {message}", file=sys.stderr)
    return status
