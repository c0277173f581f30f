"""Decode a container that arrives front to back, with bounded memory and without its index."""

from __future__ import annotations

import errno
from array import array
from collections.abc import Iterator
from typing import BinaryIO, TypeVar

import numpy as np

from freebits_codecs import _core
from freebits_codecs.container.decoder import decode_batch
from freebits_codecs.container.reader import parse_index
from freebits_codecs.container.records import (
    CHUNK,
    FOOTER_NBYTES,
    HEADER_NBYTES,
    MAX_CHUNKS,
    PLAIN,
    RECORD_NBYTES,
    Footer,
    Header,
    Record,
)
from freebits_codecs.container.writer import batch_chunks
from freebits_codecs.errors import CorruptContainer, LimitExceeded, TruncatedContainer

Answer = TypeVar("Answer", bytes, int)

BATCH_NBYTES = 64 << 20
"""Bytes of the original that are decoded at a time, at most: other encoders may choose large chunks."""


class StreamDecoder:
    """Iterate to get the original bytes in order; `footer` and `stored_nbytes` are set at the end.

    Each piece is valid until the next is asked for. Index and footer must confirm what was seen, and nothing
    may follow them. Raises UnexpectedForm for a symmetric form: it cannot be made into its file front to back.
    """

    def __init__(self, file: BinaryIO, threads: int = 1) -> None:
        self._file = file
        self._threads = threads
        self.stored_nbytes = 0
        self.nbytes = 0
        self.footer: Footer | None = None
        self._stored = array("I")

    def __iter__(self) -> Iterator[memoryview]:
        header = Header.parse(self._take(HEADER_NBYTES, "header", short=True))
        header.require(PLAIN)
        batch = _Batch(header.chunk_nbytes, min(batch_chunks(self._threads), BATCH_NBYTES // header.chunk_nbytes))
        while True:
            at = self.stored_nbytes
            head = self._take(RECORD_NBYTES, "record header")
            record = Record.parse(head, at, header.chunk_nbytes, len(self._stored))
            if record.kind != CHUNK:
                break
            self._check_order(header, record)
            batch.add(record, head, self._take(record.stored_nbytes, f"chunk {len(self._stored)}"))
            self._stored.append(record.stored_nbytes)
            self.nbytes += record.nbytes
            if batch.full:
                yield batch.decode(len(self._stored), self._threads)
        if batch.records:
            yield batch.decode(len(self._stored), self._threads)
        self._finish(record, head)

    def _check_order(self, header: Header, record: Record) -> None:
        """Only the last chunk may be shorter than the others."""
        if len(self._stored) == MAX_CHUNKS:
            raise LimitExceeded("chunk count", found=MAX_CHUNKS + 1, limit=MAX_CHUNKS)
        if self.nbytes % header.chunk_nbytes:
            chunk = len(self._stored)
            raise CorruptContainer("record after a short chunk", found=record.nbytes, expected="none", chunk=chunk)

    def _finish(self, index: Record, head: bytes) -> None:
        index_offset = self.stored_nbytes - RECORD_NBYTES
        if index.stored_nbytes != 4 * len(self._stored):
            raise CorruptContainer("index length", found=index.stored_nbytes, expected=4 * len(self._stored))
        data = head + self._take(index.stored_nbytes, "index")
        footer = Footer.parse(self._take(FOOTER_NBYTES, "footer"), self.stored_nbytes - FOOTER_NBYTES)
        footer.check_against(chunk_count=len(self._stored), nbytes=self.nbytes, index_offset=index_offset)
        if not np.array_equal(parse_index(data, footer), np.array(self._stored, np.uint32)):
            raise CorruptContainer("index", found="other lengths", expected="those of the records")
        if extra := self._file.read(1):
            raise CorruptContainer("bytes after the footer", found=extra, expected="none")
        self.footer = footer

    def _take(self, nbytes: int, what: str, short: bool = False) -> bytes:
        data = read_exactly(self._file, nbytes)
        if len(data) < nbytes and not short:
            raise TruncatedContainer(what, offset=self.stored_nbytes, found=len(data), expected=nbytes)
        self.stored_nbytes += len(data)
        return data


class _Batch:
    """Records that are decoded together, and the buffer they are decoded into."""

    def __init__(self, chunk_nbytes: int, limit: int) -> None:
        self._limit = limit
        self._out = memoryview(_core.OutputBuffer(chunk_nbytes * limit))
        self._pieces: list[bytes] = []
        self.records: list[Record] = []

    @property
    def full(self) -> bool:
        return len(self.records) == self._limit

    def add(self, record: Record, head: bytes, payload: bytes) -> None:
        self.records.append(record)
        self._pieces += (head, payload)

    def decode(self, chunks_so_far: int, threads: int) -> memoryview:
        data = memoryview(b"".join(self._pieces))
        sizes = [RECORD_NBYTES + record.stored_nbytes for record in self.records]
        offsets = (np.cumsum(sizes) - sizes).tolist()
        out = self._out[: sum(record.nbytes for record in self.records)]
        first = chunks_so_far - len(self.records)
        decode_batch(data, self.records, offsets, out, first_chunk=first, threads=threads)
        self.records, self._pieces = [], []
        return out


def read_exactly(file: BinaryIO, nbytes: int) -> bytes:
    """`nbytes` bytes, fewer only at the end of the file; pipes and sockets answer in pieces."""
    data = require_answer(file.read(nbytes))
    if len(data) == nbytes or not data:
        return data
    pieces = [data]
    missing = nbytes - len(data)
    while missing and (data := require_answer(file.read(missing))):
        pieces.append(data)
        missing -= len(data)
    return b"".join(pieces)


def require_answer(answer: Answer | None) -> Answer:
    """What a file answered; None says that it is not ready, which must not pass for its end."""
    if answer is None:
        raise BlockingIOError(errno.EAGAIN, "the file is non-blocking and not ready; pass a blocking one")
    return answer
