"""BLAKE3 of every tensor of a file, while the file goes by once, front to back.

Memory does not depend on the size of the file: a hash is open only while its tensor's bytes go by. Tensors may overlap
(tied weights, views): equal runs of bytes are hashed once, and all runs together at most `MAX_OVERLAP` times the file,
so that a hostile directory cannot make one byte cost a hundred thousand hashes. Tensors beyond that are left out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from blake3 import blake3

from freebits_codecs.formats import Tensor, read_layout

MAX_OVERLAP = 8
MAX_OPEN = 256
BATCH = 500


@dataclass(frozen=True, slots=True)
class TensorDigest:
    """Tensor `number` of the file's directory: bytes ``[start, start + nbytes)`` and their BLAKE3."""

    number: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    start: int
    digest: str


@dataclass(slots=True)
class _Run:
    """Bytes whose hash has begun, and the tensors that are just these bytes."""

    start: int
    stop: int
    hash: blake3
    numbers: list[int]


class TensorHasher:
    """Takes the pieces of a file of `nbytes` bytes in order, gives the tensors that are complete."""

    def __init__(self, tensors: Sequence[Tensor], nbytes: int) -> None:
        self._tensors = tensors
        self._waiting = deque(sorted(range(len(tensors)), key=lambda i: (tensors[i].start, tensors[i].stop)))
        self._open: list[_Run] = []
        self._at = 0
        self._affordable_nbytes = MAX_OVERLAP * nbytes

    def update(self, piece: memoryview) -> Iterator[TensorDigest]:
        """Hash the bytes that follow; the tensors that end in them."""
        end = self._at + len(piece)
        for run in self._open:
            run.hash.update(piece[: run.stop - self._at])
        while run_ahead := self._next_run(end):
            run_ahead.hash.update(piece[run_ahead.start - self._at : run_ahead.stop - self._at])
            self._open.append(run_ahead)
            if run_ahead.stop <= end:
                yield from self._close(end)
        yield from self._close(end)
        self._at = end

    def rest(self) -> Iterator[TensorDigest]:
        """Empty tensors at the very end, to be asked for when all pieces were seen."""
        while run := self._next_run(self._at + 1):
            self._open.append(run)
        yield from self._close(self._at)

    def _next_run(self, end: int) -> _Run | None:
        """The next run that begins before `end`, with all tensors that are it; None when there is none."""
        while self._waiting:
            first = self._tensors[self._waiting[0]]
            if first.start >= end:
                return None
            numbers = []
            while self._waiting and self._span(self._waiting[0]) == (first.start, first.stop):
                numbers.append(self._waiting.popleft())
            self._affordable_nbytes -= first.stop - first.start
            if self._affordable_nbytes >= 0 and len(self._open) < MAX_OPEN:
                return _Run(first.start, first.stop, blake3(), numbers)
        return None

    def _span(self, number: int) -> tuple[int, int]:
        return self._tensors[number].start, self._tensors[number].stop

    def _close(self, end: int) -> Iterator[TensorDigest]:
        done = [run for run in self._open if run.stop <= end]
        if done:
            self._open = [run for run in self._open if run.stop > end]
        for run in done:
            digest = run.hash.hexdigest()
            for number in run.numbers:
                tensor = self._tensors[number]
                nbytes = tensor.stop - tensor.start
                yield TensorDigest(number, tensor.name, tensor.dtype, tensor.shape, nbytes, tensor.start, digest)


class ContainerIndexer:
    """Index a file beside whoever decodes it: `begin`, then `note` every piece, then `finish`.

    `keep` is called with batches of tensors as they are found. They are true only if the pieces turn out to be.
    """

    def __init__(self, keep: Callable[[Sequence[TensorDigest]], None], max_tensors: int | None = None) -> None:
        self._keep, self._max_tensors = keep, max_tensors
        self._hasher: TensorHasher | None = None
        self._batch: list[TensorDigest] = []
        self.count: int | None = None

    def begin(self, original: BinaryIO, nbytes: int) -> None:
        """Read the file's directory, which is decoded twice therefore; nothing else is."""
        layout = read_layout(original)
        tensors = layout.tensors if layout else ()
        if self._max_tensors is None or len(tensors) <= self._max_tensors:
            self._hasher = TensorHasher(tensors, nbytes)
            self.count = 0

    def note(self, piece: memoryview) -> None:
        """The next decoded bytes."""
        if self._hasher is not None:
            self._take(self._hasher.update(piece))

    def finish(self) -> int | None:
        """How many tensors there were; None when there are too many to index."""
        if self._hasher is not None:
            self._take(self._hasher.rest())
            self._flush()
        return self.count

    def _take(self, found: Iterator[TensorDigest]) -> None:
        assert self.count is not None
        for tensor in found:
            self.count += 1
            self._batch.append(tensor)
            if len(self._batch) == BATCH:
                self._flush()

    def _flush(self) -> None:
        if self._batch:
            self._keep(self._batch)
            self._batch = []
