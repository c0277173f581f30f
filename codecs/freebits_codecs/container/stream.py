"""Decode a container that arrives front to back, with bounded memory and without its index."""

from __future__ import annotations

import errno
from array import array
from collections.abc import Iterator
from typing import BinaryIO, TypeVar

import numpy as np

from freebits_codecs import _core
from freebits_codecs.container.decoder import decode_batch
from freebits_codecs.container.ending import DIGEST_NBYTES, FOOTER_NBYTES, Footer, parse_digest, parse_index
from freebits_codecs.container.records import (
    CHUNK,
    DIGESTED,
    HEADER_NBYTES,
    INDEXED,
    MAX_CHUNKS,
    PLAIN,
    RECORD_NBYTES,
    Header,
    Record,
)
from freebits_codecs.container.writer import batch_chunks
from freebits_codecs.errors import CorruptContainer, LimitExceeded, TruncatedContainer

Answer = TypeVar("Answer", bytes, int)

BATCH_NBYTES = 64 << 20
"""Bytes of the original that are decoded at a time, at most: other encoders may choose large chunks."""


class StreamDecoder:
    """Iterate to get the original bytes in order; `nbytes`, `stored_nbytes` and `sha256` are known at the end.

    Each piece is valid until the next is asked for. The container's ending must confirm what was seen, and nothing
    may follow it. Raises UnexpectedForm for a symmetric form: it cannot be made into its file front to back.
    """

    def __init__(self, file: BinaryIO, threads: int = 1) -> None:
        self._file = file
        self._threads = threads
        self.stored_nbytes = 0
        self.nbytes = 0
        self.sha256: str | None = None
        """What the container says is the digest of the original; None as well where it says nothing."""
        self._stored = array("I")

    def __iter__(self) -> Iterator[memoryview]:
        header = Header.parse(self._take(HEADER_NBYTES, "header", short=True))
        header.require(PLAIN)
        batch = _Batch(header.chunk_nbytes, min(batch_chunks(self._threads), BATCH_NBYTES // header.chunk_nbytes))
        while (taken := self._take_record(header)) and taken[0].kind == CHUNK:
            record, head = taken
            self._check_order(header, record)
            batch.add(record, head, self._take(record.stored_nbytes, f"chunk {len(self._stored)}"))
            self._stored.append(record.stored_nbytes)
            self.nbytes += record.nbytes
            if batch.full:
                yield batch.decode(len(self._stored), self._threads)
        if batch.records:
            yield batch.decode(len(self._stored), self._threads)
        self.sha256 = self._finish_index(*taken) if taken else self._finish_short(header)
        if extra := self._file.read(1):
            raise CorruptContainer("bytes after the container's end", found=extra, expected="none")

    def _take_record(self, header: Header) -> tuple[Record, bytes] | None:
        """The next record and its 16 bytes; None where only one had to come, and did."""
        if header.ending != INDEXED and self._stored:
            return None
        at = self.stored_nbytes
        head = self._take(RECORD_NBYTES, "record header")
        record = Record.parse(head, at, header.chunk_nbytes, len(self._stored))
        if header.ending != INDEXED:
            record.require_chunk(0)
        return record, head

    def _check_order(self, header: Header, record: Record) -> None:
        """Only the last chunk may be shorter than the others."""
        if len(self._stored) == MAX_CHUNKS:
            raise LimitExceeded("chunk count", found=MAX_CHUNKS + 1, limit=MAX_CHUNKS)
        if self.nbytes % header.chunk_nbytes:
            chunk = len(self._stored)
            raise CorruptContainer("record after a short chunk", found=record.nbytes, expected="none", chunk=chunk)

    def _finish_index(self, index: Record, head: bytes) -> str | None:
        index_offset = self.stored_nbytes - RECORD_NBYTES
        if index.stored_nbytes != 4 * len(self._stored):
            raise CorruptContainer("index length", found=index.stored_nbytes, expected=4 * len(self._stored))
        data = head + self._take(index.stored_nbytes, "index")
        footer = Footer.parse(self._take(FOOTER_NBYTES, "footer"), self.stored_nbytes - FOOTER_NBYTES)
        footer.check_against(chunk_count=len(self._stored), nbytes=self.nbytes, index_offset=index_offset)
        if not np.array_equal(parse_index(data, footer), np.array(self._stored, np.uint32)):
            raise CorruptContainer("index", found="other lengths", expected="those of the records")
        return footer.sha256

    def _finish_short(self, header: Header) -> str | None:
        if header.ending != DIGESTED:
            return None
        at = self.stored_nbytes
        return parse_digest(self._take(DIGEST_NBYTES, "digest"), at)

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
