"""Write a container front to back: batches of chunks in, bytes out, bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freebits_codecs import _core
from freebits_codecs.container.encoder import RecordEncoder
from freebits_codecs.container.ending import pack_ending
from freebits_codecs.container.records import CHUNK_NBYTES, PLAIN, Header, check_chunk_nbytes
from freebits_codecs.planner import ExtentArrays

Progress = Callable[[int, int], None]
"""Called with (original bytes done, stored bytes done) after every batch."""


@dataclass(frozen=True, slots=True)
class EncodeSummary:
    """What encoding made. `sha256` is of the original bytes, None when it was not asked for."""

    original_nbytes: int
    stored_nbytes: int
    sha256: str | None


class ContainerWriter:
    """Feed the file's bytes in order with `write_batch`, then `finish`.

    Every batch but the last must be `batch_nbytes` long. `write` is called with each finished piece, which is
    only valid during the call. `extents` None: the layout is unknown, every chunk is sniffed.
    """

    def __init__(
        self,
        write: Callable[[memoryview | bytes], object],
        extents: ExtentArrays | None,
        *,
        threads: int = 1,
        sha256: bool = True,
        chunk_nbytes: int = CHUNK_NBYTES,
        form: int = PLAIN,
        progress: Progress | None = None,
    ) -> None:
        check_chunk_nbytes(chunk_nbytes)
        self.batch_nbytes = chunk_nbytes * batch_chunks(threads)
        self._write = write
        self._records = RecordEncoder(chunk_nbytes, extents, threads)
        self._sink = _core.OutputBuffer(self._records.bound(self.batch_nbytes))
        self._digest = BackgroundDigest() if sha256 else None
        self._progress = progress
        self._nbytes = self._stored = 0
        self._stored_nbytes: list[NDArray[np.uint32]] = []
        self._form = form
        self._header: Header | None = None

    def write_batch(self, data: memoryview) -> None:
        """Encode the next bytes of the file."""
        if self._digest:
            self._digest.update(data)
        self._sink.length = 0
        self._stored_nbytes.append(self._records.encode(data, self._nbytes, self._sink))
        self._begin()
        self._emit(memoryview(self._sink)[: self._sink.length])
        self._nbytes += len(data)
        if self._digest:
            self._digest.wait()
        if self._progress:
            self._progress(self._nbytes, self._stored)

    def finish(self) -> EncodeSummary:
        """Write what ends the container."""
        ending = self._begin().ending
        sha256 = self._digest.hexdigest() if self._digest else None
        self._emit(pack_ending(ending, self._stored_nbytes, self._nbytes, self._stored, sha256))
        return EncodeSummary(self._nbytes, self._stored, sha256)

    def close(self) -> None:
        """Release the digest's thread; for when encoding is given up."""
        if self._digest:
            self._digest.close()

    def _begin(self) -> Header:
        """The header, written once: what it says of a small file is known when that is encoded."""
        if self._header is None:
            self._header = self._records.header(self._form, has_digest=self._digest is not None)
            self._emit(self._header.pack())
        return self._header

    def _emit(self, piece: memoryview | bytes) -> None:
        self._write(piece)
        self._stored += len(piece)


def batch_chunks(threads: int) -> int:
    """Chunks that are encoded or decoded at a time: enough to keep the threads busy, few enough for memory.

    Raises ValueError for fewer than one thread.
    """
    if threads < 1:
        raise ValueError(f"threads is {threads}, expected 1 or more")
    return min(max(8, 2 * threads), 32)


class BackgroundDigest:
    """SHA-256 on a thread of its own, beside the coding: hashlib lets go of the GIL and is the slower half."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="sha256")
        self._hash = hashlib.sha256()
        self._pending = self._pool.submit(lambda: None)

    def update(self, data: memoryview | bytes) -> None:
        """Start hashing `data`, which must stay as it is until `wait`."""
        self.wait()
        self._pending = self._pool.submit(self._hash.update, data)

    def wait(self) -> None:
        self._pending.result()

    def hexdigest(self) -> str:
        """The digest of all that was given; nothing more may follow."""
        self.close()
        return self._hash.hexdigest()

    def close(self) -> None:
        self._pool.shutdown(wait=True)
