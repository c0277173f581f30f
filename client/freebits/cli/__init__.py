"""The `freebits` command. One file per group of commands; arguments.py lists them all."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from freebits.cli.arguments import build_parser
from freebits.cli.exit_codes import INTERRUPTED, OTHER, exit_code, explain
from freebits.cli.plugins import find_plugin
from freebits.cli.terminal import complain

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv` (default: of the process); the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        plugin = find_plugin(arguments[0]) if arguments else None
        if plugin:
            return plugin(arguments[1:])
        options = build_parser().parse_args(arguments)
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        complain("interrupted; run the same command again to resume")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (`freebits ls | head`): not worth a message.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OTHER
    except Exception as error:
        known = exit_code(error)
        if known is None:
            raise
        complain(explain(error))
        return known


def _terminate(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM cleans up as Ctrl-C does, but ends with the code a shell expects."""
    raise SystemExit(128 + signal.SIGTERM)
