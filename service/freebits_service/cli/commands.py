"""What the commands beside ``serve`` share: flags of their own before those of the settings, and an open hub."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .. import logs, settings
from ..context import Hub, open_hub
from ..settings import Settings


def command_parser(command: str, text: str) -> argparse.ArgumentParser:
    """A parser with all flags of the settings, to which a command adds its own."""
    return argparse.ArgumentParser(
        prog=f"freebits {command}", description=text, parents=[settings.parser()], conflict_handler="resolve"
    )


def parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> tuple[argparse.Namespace, Settings]:
    """The command's own options, and the settings; raises InvalidSettings."""
    options = parser.parse_args(argv)
    given = {key: value for key, value in vars(options).items() if key in Settings.model_fields or key == "config"}
    return options, settings.from_flags(given)


@contextmanager
def opened_hub(chosen: Settings, log_level: str = "warning") -> Iterator[Hub]:
    """The hub of the settings, closed at the end; logs only what is wrong, because a command prints its result."""
    logs.configure(log_level)
    hub = open_hub(chosen)
    try:
        yield hub
    finally:
        hub.db.close()
