"""What people see: messages and progress bars on stderr, results on stdout."""

from __future__ import annotations

import json
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from freebits.progress import SILENT, Progress

_REDRAW_EVERY_S = 0.1


def complain(message: str) -> None:
    """An error, on stderr."""
    print(f"freebits: {message}", file=sys.stderr)


def show(options: Namespace, facts: Any, text: str) -> None:
    """The result on stdout: `facts` as one line of JSON with --json, else `text` unless --quiet."""
    if options.json:
        print(json.dumps(facts))
    elif text and not options.quiet:
        print(text)


def table(rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> str:
    """Rows of text in aligned columns; columns in `right` are aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def size(nbytes: int | None) -> str:
    """A number of bytes for people.

    >>> size(1234567)
    '1.23 MB'
    """
    if nbytes is None:
        return "-"
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if nbytes >= scale:
            return f"{nbytes / scale:.3g} {unit}" if nbytes < 999.5 * scale else f"{nbytes / scale:.0f} {unit}"
    return f"{nbytes} B"


@contextmanager
def bar(options: Namespace, label: str) -> Iterator[Progress]:
    """A progress bar on stderr: only on a terminal unless --progress, never with --quiet."""
    wanted = options.progress or (sys.stderr.isatty() and not options.quiet)
    if not wanted:
        yield SILENT
        return
    shown = _Bar(label)
    try:
        yield shown
    finally:
        shown.close()


class _Bar(Progress):
    """Original bytes done of all, their rate and the time left, and the bytes that were really moved."""

    def __init__(self, label: str) -> None:
        from tqdm import tqdm  # type: ignore[import-untyped] # noqa: PLC0415  the others start faster

        self._bar = tqdm(
            desc=label,
            total=0,
            unit="B",
            unit_scale=True,
            file=sys.stderr,
            mininterval=_REDRAW_EVERY_S,
            dynamic_ncols=True,
        )
        self._stored_nbytes = 0
        self._lock = threading.Lock()
        self._drawn = 0.0

    def expect(self, nbytes: int) -> None:
        with self._lock:
            self._bar.total += nbytes
            self._bar.refresh()

    def advance(self, nbytes: int, stored_nbytes: int) -> None:
        with self._lock:
            self._stored_nbytes += stored_nbytes
            self._bar.update(nbytes)
            if time.monotonic() - self._drawn > _REDRAW_EVERY_S:
                self._draw()

    def close(self) -> None:
        """Draw the last state and leave it on the screen."""
        with self._lock:
            self._draw()
            self._bar.close()

    def _draw(self) -> None:
        self._bar.set_postfix_str(f"stored {size(self._stored_nbytes)}", refresh=True)
        self._drawn = time.monotonic()
