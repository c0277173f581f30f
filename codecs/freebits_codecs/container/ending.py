"""What follows the last chunk record: index and footer, or less where a file is one chunk (FORMAT.md, 2.3 to 2.5)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freebits_codecs.container.records import (
    BARE,
    DIGESTED,
    INDEX,
    INDEXED,
    MAX_CHUNKS,
    RECORD_NBYTES,
    Record,
    crc32c,
    require_crc,
)
from freebits_codecs.errors import CorruptContainer, LimitExceeded, TruncatedContainer

FOOTER = b"F"
_FOOTER = struct.Struct("<cBHIQQQ32s")
FOOTER_NBYTES = _FOOTER.size + 4
DIGEST_NBYTES = 32 + 4


@dataclass(frozen=True, slots=True)
class Footer:
    """The last 68 bytes: what is needed to find everything else. `sha256` is of the original file."""

    chunk_count: int
    nbytes: int
    index_offset: int
    sha256: str | None

    def pack(self) -> bytes:
        digest = bytes.fromhex(self.sha256) if self.sha256 else bytes(32)
        body = _FOOTER.pack(FOOTER, bool(self.sha256), 0, 0, self.chunk_count, self.nbytes, self.index_offset, digest)
        return body + crc32c(body).to_bytes(4, "little")

    @staticmethod
    def parse(data: bytes, offset: int) -> Footer:
        """`data` are the 68 bytes that lie at `offset` of the container."""
        if len(data) < FOOTER_NBYTES:
            raise TruncatedContainer("footer", offset=offset, found=len(data), expected=FOOTER_NBYTES)
        kind, has_digest, zero, zeros, chunk_count, nbytes, index_offset, digest = _FOOTER.unpack_from(data)
        if kind != FOOTER:
            raise TruncatedContainer("footer", offset=offset, found=0, expected=FOOTER_NBYTES)
        require_crc("footer checksum", data[:FOOTER_NBYTES])
        if zero or zeros or has_digest > 1 or (not has_digest and any(digest)):
            raise CorruptContainer("reserved footer bytes", found="set", expected="zero")
        if chunk_count > MAX_CHUNKS:
            raise LimitExceeded("chunk count", found=chunk_count, limit=MAX_CHUNKS)
        return Footer(chunk_count, nbytes, index_offset, digest.hex() if has_digest else None)

    def check_against(self, *, chunk_count: int, nbytes: int, index_offset: int) -> None:
        """Raise when the records that were read tell another story."""
        for what, found, expected in (
            ("chunk count", chunk_count, self.chunk_count),
            ("original length", nbytes, self.nbytes),
            ("index offset", index_offset, self.index_offset),
        ):
            if found != expected:
                raise CorruptContainer(what, found=found, expected=expected)


def pack_index(stored_nbytes: NDArray[np.uint32]) -> bytes:
    """The index record: the stored length of every chunk, little-endian u32."""
    payload = np.ascontiguousarray(stored_nbytes, "<u4").tobytes()
    return Record.pack(INDEX, 0, 0, len(payload), payload)


def parse_index(data: bytes, footer: Footer) -> NDArray[np.uint32]:
    """uint32[chunks]: the stored lengths in an index record."""
    record = Record.parse(data[:RECORD_NBYTES], footer.index_offset, 0, -1)
    expected = 4 * footer.chunk_count
    if record.kind != INDEX or record.flags or (record.nbytes, record.stored_nbytes) != (expected, expected):
        raise CorruptContainer("index record", found=record.stored_nbytes, expected=expected)
    record.check_crc(data, None)
    return np.frombuffer(data, "<u4", offset=RECORD_NBYTES)


def pack_digest(sha256: str) -> bytes:
    """The SHA-256 of the original, with a checksum: damage to a digest is no damage to the file."""
    digest = bytes.fromhex(sha256)
    return digest + crc32c(digest).to_bytes(4, "little")


def parse_digest(data: bytes, offset: int) -> str:
    """The SHA-256, in hexadecimal, in the bytes that lie at `offset` of the container."""
    if len(data) < DIGEST_NBYTES:
        raise TruncatedContainer("digest", offset=offset, found=len(data), expected=DIGEST_NBYTES)
    require_crc("digest checksum", data[:DIGEST_NBYTES])
    return data[:32].hex()


def pack_ending(
    ending: int, stored_nbytes: Sequence[NDArray[np.uint32]], nbytes: int, offset: int, sha256: str | None
) -> bytes:
    """What stands at `offset`, behind the records of `nbytes` bytes; `stored_nbytes` in pieces, as they came."""
    if ending == INDEXED:
        stored = np.concatenate(stored_nbytes) if stored_nbytes else np.empty(0, np.uint32)
        return pack_index(stored) + Footer(stored.size, nbytes, offset, sha256).pack()
    return pack_digest(sha256) if sha256 else b""


def ending_nbytes(ending: int, chunks: int) -> int:
    """How long it is."""
    return {INDEXED: RECORD_NBYTES + 4 * chunks + FOOTER_NBYTES, BARE: 0, DIGESTED: DIGEST_NBYTES}[ending]
