"""(2) Header, records and ending, front to back as in (9.2)."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from freebits_codecs.errors import (
    CorruptContainer,
    DigestMismatch,
    LimitExceeded,
    TruncatedContainer,
    UnexpectedForm,
    UnsupportedFormat,
)
from freebits_codecs.reference.chunk import SLACK_NBYTES, decode_chunk
from freebits_codecs.reference.cursor import Notice

MAX_CHUNKS = 1 << 28


def decode_container(data: bytes, notice: Notice = lambda what, value: None, form: int = 0) -> bytes:
    """The original bytes of a container, which must be of the `form` that is asked for.

    Raises TruncatedContainer, CorruptContainer, DigestMismatch, LimitExceeded, UnsupportedFormat or UnexpectedForm.
    """
    chunk_nbytes, ending = _header(data, form)
    notice("ending", ending)
    if ending:
        return _one_chunk(data, chunk_nbytes, ending, notice)
    at = 16
    chunks: list[bytes] = []
    stored_nbytes: list[int] = []
    while (record := _record(data, at)).kind == b"C":
        if chunks and len(chunks[-1]) < chunk_nbytes:
            raise CorruptContainer("chunk after a short one", found=record.nbytes, expected="the index")
        chunks.append(_chunk(record, chunk_nbytes, len(chunks), notice))
        stored_nbytes.append(len(record.payload))
        at += 16 + len(record.payload)
    original = b"".join(chunks)
    _index(record, stored_nbytes)
    _footer(data, at + 16 + len(record.payload), len(chunks), at, original)
    notice("chunks", len(chunks))
    return original


def _one_chunk(data: bytes, chunk_nbytes: int, ending: int, notice: Notice) -> bytes:
    """(2.5) A chunk, and its digest if the ending is 2."""
    record = _record(data, 16)
    _expect("record kind", record.kind, b"C")
    original = _chunk(record, chunk_nbytes, 0, notice)
    at = 32 + len(record.payload)
    if ending == 2:
        _require(data, at, 36, "digest")
        _check_crc("digest", data[at : at + 32], data[at + 32 : at + 36])
        at += 36
    _expect("bytes after the end", len(data) - at, 0)
    if ending == 2:
        _check_digest(original, data[at - 36 : at - 4])
    notice("chunks", 1)
    return original


def _chunk(record: _Record, chunk_nbytes: int, number: int, notice: Notice) -> bytes:
    """(2.2) What the record of this number decodes to."""
    if not 1 <= record.nbytes <= chunk_nbytes:
        raise CorruptContainer("decoded length", found=record.nbytes, expected=f"1..{chunk_nbytes}")
    _expect("chunk number", record.number, number % 65536)
    return decode_chunk(record.payload, record.nbytes, bool(record.flags), notice)


@dataclass(frozen=True)
class _Record:
    kind: bytes
    flags: int
    number: int
    nbytes: int
    payload: bytes


def _header(data: bytes, expected_form: int) -> tuple[int, int]:
    """(2.1) The chunk size and the kind of ending."""
    magic = b"\x89FBIT\r\n\x1a"
    _expect("magic bytes", data[:8], magic[: len(data)])
    _require(data, 0, 16, "header")
    _check_crc("header", data[:12], data[12:16])
    version, chunk_log2, form, ending = struct.unpack_from("<BBBB", data, 8)
    if version not in (1, 2, 3) or form > 1 or ending > (2 if version >= 3 else 0):
        raise UnsupportedFormat(found=version, supported=3)
    if form != expected_form:
        raise UnexpectedForm(is_symmetric=form == 1)
    if not 12 <= chunk_log2 <= 24:
        raise LimitExceeded("log2 of the chunk size", found=chunk_log2, limit=24)
    return 1 << chunk_log2, ending


def _record(data: bytes, at: int) -> _Record:
    """(2.2, 2.3) The record at a place, its CRC checked."""
    _require(data, at, 16, "record header")
    kind, flags, number, nbytes, stored_nbytes, _ = struct.unpack_from("<cBHIII", data, at)
    if kind not in (b"C", b"I") or flags > (kind == b"C"):
        raise CorruptContainer(f"record header at byte {at}", found=data[at : at + 4], expected="C or I")
    if kind == b"C" and stored_nbytes > nbytes + SLACK_NBYTES:
        raise LimitExceeded("stored length of a chunk", found=stored_nbytes, limit=nbytes + SLACK_NBYTES)
    _require(data, at + 16, stored_nbytes, "record")
    payload = data[at + 16 : at + 16 + stored_nbytes]
    _check_crc("record", data[at : at + 12] + payload, data[at + 12 : at + 16])
    return _Record(kind, flags, number, nbytes, payload)


def _index(record: _Record, stored_nbytes: list[int]) -> None:
    """(2.3) The index must say what the records said."""
    _expect("reserved bytes of the index", record.number, 0)
    _expect("index", record.payload, struct.pack(f"<{len(stored_nbytes)}I", *stored_nbytes))
    _expect("index length", record.nbytes, len(record.payload))


def _footer(data: bytes, at: int, chunk_count: int, index_offset: int, original: bytes) -> None:
    """(2.4) The footer must agree with all that was read, and end the container."""
    _require(data, at, 68, "footer")
    if data[at : at + 1] != b"F":
        raise TruncatedContainer("footer", offset=at, found=0, expected=68)
    _check_crc("footer", data[at : at + 64], data[at + 64 : at + 68])
    has_digest, reserved, *facts = struct.unpack_from("<B6sQQQ", data, at + 1)
    digest = data[at + 32 : at + 64]
    _expect("reserved footer bytes", reserved, bytes(6))
    if has_digest > 1 or (not has_digest and digest != bytes(32)):
        raise CorruptContainer("digest flag", found=has_digest, expected="1, or 0 and no digest")
    if facts[0] > MAX_CHUNKS:
        raise LimitExceeded("chunk count", found=facts[0], limit=MAX_CHUNKS)
    _expect("chunk count, length and index offset", facts, [chunk_count, len(original), index_offset])
    _expect("bytes after the footer", len(data) - at - 68, 0)
    if has_digest:
        _check_digest(original, digest)


def _check_digest(original: bytes, digest: bytes) -> None:
    if hashlib.sha256(original).digest() != digest:
        raise DigestMismatch(found=hashlib.sha256(original).hexdigest(), expected=digest.hex())


def _expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise CorruptContainer(what, found=found, expected=expected)


def _require(data: bytes, at: int, nbytes: int, what: str) -> None:
    if len(data) - at < nbytes:
        raise TruncatedContainer(what, offset=at, found=len(data) - at, expected=nbytes)


def _crc_table() -> list[int]:
    table = list(range(256))
    for _ in range(8):
        table = [crc >> 1 ^ (0x82F63B78 if crc & 1 else 0) for crc in table]
    return table


_CRC_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    """(6)"""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _check_crc(what: str, data: bytes, stored: bytes) -> None:
    _expect(f"checksum of the {what}", f"{crc32c(data):08x}", f"{int.from_bytes(stored, 'little'):08x}")
