"""Read any range of the original file out of a container, decoding only the chunks it touches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Protocol

from freebits_codecs import _core
from freebits_codecs.container.contents import read_contents
from freebits_codecs.container.decoder import decode_batch
from freebits_codecs.container.records import HEADER_NBYTES, PLAIN, RECORD_NBYTES, Header, Record
from freebits_codecs.errors import CorruptContainer, TruncatedContainer


class RangeSource(Protocol):
    """Anything that can be read at offsets, from several threads at once."""

    nbytes: int

    def read_at(self, offset: int, nbytes: int) -> bytes | memoryview:
        """Exactly `nbytes` bytes from `offset`, or an error."""
        ...


class BytesSource:
    """A container in memory; reads are views, not copies."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._view = memoryview(data).cast("B")
        self.nbytes = len(self._view)

    def read_at(self, offset: int, nbytes: int) -> memoryview:
        return self._view[offset : offset + nbytes]


class FileSource:
    """A container on disk."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        self.nbytes = os.fstat(self._fd).st_size

    def read_at(self, offset: int, nbytes: int) -> bytes:
        pieces = []
        while nbytes:
            piece = os.pread(self._fd, nbytes, offset)
            if not piece:
                raise TruncatedContainer("file", offset=offset, found=0, expected=nbytes)
            pieces.append(piece)
            offset += len(piece)
            nbytes -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class ContainerReader:
    """Random access to the original file. Reads header and ending at once and checks them.

    Raises FormatError, UnsupportedFormat or LimitExceeded when they do not fit together, UnexpectedForm when the
    original is not of the `form` that the caller can make sense of.
    """

    def __init__(self, source: RangeSource, threads: int = 1, form: int = PLAIN) -> None:
        if threads < 1:
            raise ValueError(f"threads is {threads}, expected 1 or more")
        self.threads = threads
        self.source = source
        self.stored_nbytes = source.nbytes
        header = Header.parse(bytes(source.read_at(0, min(HEADER_NBYTES, source.nbytes))))
        header.require(form)
        self.form, self.version = form, header.version
        self.chunk_nbytes = header.chunk_nbytes
        contents = read_contents(source, header)
        self.nbytes, self.sha256, self._offsets = contents.nbytes, contents.sha256, contents.offsets
        self.chunk_count = len(self._offsets) - 1

    @classmethod
    def open(cls, path: str | os.PathLike[str], threads: int = 1, form: int = PLAIN) -> ContainerReader:
        """Read a file on disk; close it with `close` or a `with` block."""
        with ExitStack() as undo:
            source = undo.enter_context(closing(FileSource(Path(path))))
            reader = cls(source, threads, form)
            undo.pop_all()
        return reader

    def close(self) -> None:
        """Close the source, if it can be closed."""
        close = getattr(self.source, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> ContainerReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop) of the original; both are cut to its length, as slicing does."""
        start, stop = min(max(start, 0), self.nbytes), min(max(stop, 0), self.nbytes)
        if stop <= start:
            return b""
        first, last = start // self.chunk_nbytes, -(-stop // self.chunk_nbytes)
        buffer = self._decode(first, last)
        base = first * self.chunk_nbytes
        if (start, stop) == (base, base + buffer.length):
            return buffer.take()
        return bytes(memoryview(buffer)[start - base : stop - base])

    def iter(self, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        """The bytes of [start, stop) in pieces of at most one chunk, each valid for as long as it is kept."""
        stop = self.nbytes if stop is None else min(max(stop, 0), self.nbytes)
        start = max(start, 0)
        while start < stop:
            chunk = start // self.chunk_nbytes
            base = chunk * self.chunk_nbytes
            buffer = self._decode(chunk, chunk + 1)
            yield memoryview(buffer)[start - base : min(stop - base, buffer.length)]
            start = base + buffer.length

    def stored_range(self, chunk: int) -> tuple[int, int]:
        """[start, stop) of a chunk's record in the container."""
        return int(self._offsets[chunk]), int(self._offsets[chunk + 1])

    def chunk_length(self, chunk: int) -> int:
        """Decoded bytes of a chunk."""
        return min(self.chunk_nbytes, self.nbytes - chunk * self.chunk_nbytes)

    def read_record(self, chunk: int) -> tuple[Record, memoryview]:
        """A chunk's record header, and header with payload as stored; the checksum is not looked at."""
        start, stop = self.stored_range(chunk)
        data = memoryview(self.source.read_at(start, stop - start))
        return self._record(data, start, chunk), data

    def _decode(self, first: int, last: int) -> _core.OutputBuffer:
        start, stop = int(self._offsets[first]), int(self._offsets[last])
        data = memoryview(self.source.read_at(start, stop - start))
        offsets = (self._offsets[first:last] - start).tolist()
        records = [self._record(data[at:], start + at, first + i) for i, at in enumerate(offsets)]
        buffer = _core.OutputBuffer(sum(record.nbytes for record in records))
        buffer.length = buffer.capacity
        decode_batch(data, records, offsets, memoryview(buffer), first_chunk=first, threads=self.threads)
        return buffer

    def _record(self, data: memoryview, offset: int, chunk: int) -> Record:
        record = Record.parse(data[:RECORD_NBYTES], offset, self.chunk_nbytes, chunk)
        record.require_chunk(chunk)
        start, stop = self.stored_range(chunk)
        for what, found, expected in (
            ("stored length", record.stored_nbytes, stop - start - RECORD_NBYTES),
            ("decoded length", record.nbytes, self.chunk_length(chunk)),
        ):
            if found != expected:
                raise CorruptContainer(what, found=found, expected=expected, chunk=chunk)
        return record
