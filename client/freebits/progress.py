"""What a long operation reports; the default reports to nobody."""

from __future__ import annotations


class Progress:
    """Receives counts of bytes, from several threads. Subclass to show them.

    `expect` announces work, `advance` reports work done: `nbytes` of the original file, and `stored_nbytes`
    that crossed the wire or the disk for it (fewer when encoded, 0 when nothing had to move).
    """

    def expect(self, nbytes: int) -> None:
        """`nbytes` more bytes of original files are to be done."""

    def advance(self, nbytes: int, stored_nbytes: int) -> None:
        """`nbytes` bytes of original files are done; may be negative when work has to be repeated."""


SILENT = Progress()
