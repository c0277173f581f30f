"""How much of an answer is made ahead of its reader, so that many slow readers do not fill the memory.

Pieces of a whole window (1 MiB), two at a time and two ahead, are what makes downloads fast: 4 MiB for each answer.
Hundreds of readers that take a few kB a second would hold as much each, for nothing. So all answers of a process
share one budget: while there is room an answer gets whole pieces, otherwise one piece of a 16th of that, which is
always given (nobody waits for others). Answers that have not shown yet that they are read fast share an eighth of
the budget; what the kernel takes at once into its buffers does not count as read.

A window that is given in 16 pieces is decoded 16 times; a reader who is that slow never notices.
"""

from __future__ import annotations

import time

from ..settings import MIB

BATCH = 2
SHARE_OF_UNPROVEN = 8
PROVEN_NBYTES = 16 * MIB  # more than the kernel's buffers of both sides hold together
FLOWING_S = 2.0  # a reader who takes no longer for a batch is read fast
SMALL_PIECES = 16


class ReadAheadBudget:
    """Bytes that all answers of a process may hold ahead; used from the event loop alone."""

    def __init__(self, nbytes: int) -> None:
        self._nbytes = nbytes
        self.used_nbytes = 0

    def take(self, nbytes: int, *, proven: bool) -> bool:
        """Take so much, if there is room for a reader of this kind."""
        limit = self._nbytes if proven else self._nbytes // SHARE_OF_UNPROVEN
        if self.used_nbytes + nbytes > limit:
            return False
        self.used_nbytes += nbytes
        return True

    def give_back(self, nbytes: int) -> None:
        """The bytes are sent, or will not be."""
        self.used_nbytes -= nbytes


class Pace:
    """One answer's: how large its next pieces are, by how its reader has done."""

    def __init__(self, budget: ReadAheadBudget) -> None:
        self._budget = budget
        self._sent_nbytes = 0
        self._sent_at = time.monotonic()
        self._is_flowing = True
        self._is_full = True
        self.window_nbytes = MIB  # what is read or decoded in one go

    @property
    def piece_nbytes(self) -> int:
        """Length of the pieces to make now."""
        return self.window_nbytes if self._is_full else self.window_nbytes // SMALL_PIECES

    def begin_batch(self) -> tuple[int, int]:
        """Decide on the next batch: how many pieces, and what to give back once they are sent."""
        wanted = BATCH * self.window_nbytes
        self._is_full = self._budget.take(wanted, proven=self._is_flowing and self._sent_nbytes >= PROVEN_NBYTES)
        return (BATCH, wanted) if self._is_full else (1, 0)

    def end_batch(self, nbytes: int, taken_nbytes: int) -> None:
        """A batch has been taken by the reader, or the answer has ended."""
        self._budget.give_back(taken_nbytes)
        now = time.monotonic()
        self._is_flowing = now - self._sent_at < FLOWING_S
        self._sent_nbytes, self._sent_at = self._sent_nbytes + nbytes, now
