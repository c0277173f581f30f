"""Header and records: the bytes around the chunks (FORMAT.md, section 2); what ends a container is in `ending`.

    header | chunk record ... | ending

Each part is parsed beside where it is written.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from freebits_codecs import _core
from freebits_codecs.errors import (
    CorruptContainer,
    LimitExceeded,
    TruncatedContainer,
    UnexpectedForm,
    UnsupportedFormat,
)

MAGIC = b"\x89FBIT\r\n\x1a"
VERSION = 3
"""The newest; a container has the lowest that has all it uses."""

FIRST_VERSION, TERSE_VERSION = 1, 3
"""The latter has header planes, and shorter endings than INDEXED. Adaptive planes, of 2, come with such endings now."""

MEDIA_TYPE = "application/vnd.freebits"
SYMMETRIC_MEDIA_TYPE = "application/vnd.freebits.symmetric"
"""A container whose original is a symmetric form: a type of its own, for nobody to get it unawares."""

CHUNK_NBYTES = 1 << 20
"""The window of the original file that is decodable alone, as the encoder chooses it."""

MIN_CHUNK_LOG2, MAX_CHUNK_LOG2 = 12, 24
MAX_CHUNKS = 1 << 28
"""Chunks of one container; 256 TiB at the usual chunk size."""

CHUNK_NUMBERS = 1 << 16
"""A record carries its chunk's number modulo this: of chunks that changed places the readers of a range know."""

PAYLOAD_SLACK_NBYTES = 64
"""A payload is at most this much longer than its chunk: one raw frame."""

PLAIN, SYMMETRIC = 0, 1
"""What a container's original is: the file itself, or a symmetric form of which the file is made (FORMAT.md, 11)."""

INDEXED, BARE, DIGESTED = range(3)
"""How a container ends: with index and footer; at its only chunk record; with a digest behind that."""

CHUNK, INDEX = b"C", b"I"
ZSTD_FLAG = 1

_HEADER = struct.Struct("<8sBBBB")
_RECORD = struct.Struct("<cBHII")
HEADER_NBYTES = _HEADER.size + 4
RECORD_NBYTES = _RECORD.size + 4


def crc32c(data: bytes | memoryview, crc: int = 0) -> int:
    """CRC-32C (Castagnoli) of `data`, continuing `crc`."""
    return _core.crc32c(data, crc)


def check_chunk_nbytes(chunk_nbytes: int) -> None:
    """Raises ValueError for a chunk size that no reader would accept."""
    chunk_log2 = chunk_nbytes.bit_length() - 1
    if chunk_nbytes != 1 << max(chunk_log2, 0) or not MIN_CHUNK_LOG2 <= chunk_log2 <= MAX_CHUNK_LOG2:
        bounds = f"{1 << MIN_CHUNK_LOG2} to {1 << MAX_CHUNK_LOG2}"
        raise ValueError(f"chunk_nbytes is {chunk_nbytes}, expected a power of two from {bounds}")


def is_container(head: bytes) -> bool:
    """Whether a file that begins with `head` (16 bytes or more) is a freebits container of any version."""
    return head[: len(MAGIC)] == MAGIC


@dataclass(frozen=True, slots=True)
class Header:
    """The first 16 bytes. `form` is PLAIN or SYMMETRIC, `ending` INDEXED, BARE or DIGESTED."""

    chunk_nbytes: int = CHUNK_NBYTES
    form: int = PLAIN
    version: int = FIRST_VERSION
    ending: int = INDEXED

    def pack(self) -> bytes:
        body = _HEADER.pack(MAGIC, self.version, self.chunk_nbytes.bit_length() - 1, self.form, self.ending)
        return body + crc32c(body).to_bytes(4, "little")

    @staticmethod
    def parse(data: bytes) -> Header:
        if len(data) < HEADER_NBYTES:
            _require_magic(data[: len(MAGIC)], MAGIC[: len(data)])
            raise TruncatedContainer("header", offset=0, found=len(data), expected=HEADER_NBYTES)
        magic, version, chunk_log2, form, ending = _HEADER.unpack_from(data)
        _require_magic(magic, MAGIC)
        require_crc("header checksum", data[:HEADER_NBYTES])
        if not FIRST_VERSION <= version <= VERSION:
            raise UnsupportedFormat(found=version, supported=VERSION)
        if form > SYMMETRIC:
            raise UnsupportedFormat(found=form, supported=SYMMETRIC, what="form of a container")
        endings = DIGESTED if version >= TERSE_VERSION else INDEXED
        if ending > endings:
            raise UnsupportedFormat(found=ending, supported=endings, what="ending of a container")
        if not MIN_CHUNK_LOG2 <= chunk_log2 <= MAX_CHUNK_LOG2:
            raise LimitExceeded("log2 of the chunk size", found=chunk_log2, limit=MAX_CHUNK_LOG2)
        return Header(1 << chunk_log2, form, version, ending)

    def require(self, form: int) -> None:
        """Raises UnexpectedForm when the original is of another form."""
        if self.form != form:
            raise UnexpectedForm(is_symmetric=self.form == SYMMETRIC)


@dataclass(frozen=True, slots=True)
class Record:
    """The 16 bytes before a payload; `crc` covers the twelve bytes before it and the payload.

    `number` is that of the chunk modulo CHUNK_NUMBERS, 0 for the index.
    """

    kind: bytes
    flags: int
    number: int
    nbytes: int
    stored_nbytes: int
    crc: int

    @staticmethod
    def pack(kind: bytes, flags: int, number: int, nbytes: int, payload: bytes) -> bytes:
        """Header and payload."""
        body = _RECORD.pack(kind, flags, number % CHUNK_NUMBERS, nbytes, len(payload))
        return b"".join((body, crc32c(payload, crc32c(body)).to_bytes(4, "little"), payload))

    @staticmethod
    def parse(data: bytes | memoryview, offset: int, chunk_nbytes: int, chunk: int) -> Record:
        """The record whose 16 bytes begin at `data[0]` and lie at `offset` of the container."""
        if len(data) < RECORD_NBYTES:
            raise TruncatedContainer("record header", offset=offset, found=len(data), expected=RECORD_NBYTES)
        kind, flags, number, nbytes, stored_nbytes = _RECORD.unpack_from(data)
        record = Record(kind, flags, number, nbytes, stored_nbytes, int.from_bytes(data[12:16], "little"))
        if kind not in (CHUNK, INDEX) or flags & ~ZSTD_FLAG or (kind == INDEX and number):
            raise CorruptContainer(f"record header at byte {offset}", found=bytes(data[:4]), expected="C or I")
        if kind == CHUNK:
            _check_chunk(record, chunk_nbytes, chunk)
        return record

    def require_chunk(self, chunk: int) -> None:
        """Raises CorruptContainer for an index where this chunk has to be."""
        if self.kind != CHUNK:
            raise CorruptContainer("record kind", found=self.kind, expected=CHUNK, chunk=chunk)

    def check_crc(self, header_and_payload: bytes | memoryview, chunk: int | None) -> None:
        view = memoryview(header_and_payload)
        found = crc32c(view[RECORD_NBYTES:], crc32c(view[: RECORD_NBYTES - 4]))
        if found != self.crc:
            raise CorruptContainer("checksum", found=f"{found:08x}", expected=f"{self.crc:08x}", chunk=chunk)


def _check_chunk(record: Record, chunk_nbytes: int, chunk: int) -> None:
    if record.number != chunk % CHUNK_NUMBERS:
        raise CorruptContainer("chunk number", found=record.number, expected=chunk % CHUNK_NUMBERS, chunk=chunk)
    if not 0 < record.nbytes <= chunk_nbytes:
        raise CorruptContainer("decoded length", found=record.nbytes, expected=f"1..{chunk_nbytes}", chunk=chunk)
    if record.stored_nbytes > record.nbytes + PAYLOAD_SLACK_NBYTES:
        limit = record.nbytes + PAYLOAD_SLACK_NBYTES
        raise LimitExceeded(f"stored length of chunk {chunk}", found=record.stored_nbytes, limit=limit)


def _require_magic(found: bytes, expected: bytes) -> None:
    if found != expected:
        raise CorruptContainer("magic bytes", found=found, expected=expected)


def require_crc(what: str, part: bytes) -> None:
    found, expected = crc32c(part[:-4]), int.from_bytes(part[-4:], "little")
    if found != expected:
        raise CorruptContainer(what, found=f"{found:08x}", expected=f"{expected:08x}")
