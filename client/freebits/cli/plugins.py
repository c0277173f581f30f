"""Commands that other packages add: entry points of the group `freebits.commands`.

The service adds `serve` this way, so the client does not depend on it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING

from freebits.errors import UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "freebits.commands"
OWN_COMMANDS = frozenset(
    {
        "encode",
        "decode",
        "inspect",
        "verify",
        "slice",
        "generate",
        "perplexity",
        "push",
        "pull",
        "ls",
        "rm",
        "undelete",
        "login",
        "logout",
        "whoami",
        "jobs",
        "admin",
    }
)
"""Not looked up: reading the entry points of every installed package takes longer than most commands."""

_BELONG_TO_SERVICE = frozenset({"fsck", "gc", "migrate", "serve", "worker"})


def find_plugin(name: str) -> Callable[[list[str]], int] | None:
    """The function behind command `name`; None when no package offers it.

    Raises UsageError when it is a command of the service and that is not installed.
    """
    if name.startswith("-") or name in OWN_COMMANDS:
        return None
    from importlib.metadata import entry_points  # noqa: PLC0415  only plug-ins need it

    for point in entry_points(group=GROUP, name=name):
        try:
            return _loaded(point)
        except ModuleNotFoundError as error:
            raise UsageError(f"`freebits {name}` needs {error.name}; install freebits[service]") from error
    if name in _BELONG_TO_SERVICE:
        raise UsageError(f"`freebits {name}` is not installed; install freebits[service]")
    return None


def _loaded(point: EntryPoint) -> Callable[[list[str]], int]:
    """The function, without looks for garbage meanwhile: a service brings 100,000s of objects, and they all stay."""
    gc.disable()
    try:
        return point.load()  # type: ignore[no-any-return]
    finally:
        gc.enable()
