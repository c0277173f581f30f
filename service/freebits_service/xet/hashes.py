"""Hashes of Xet: keyed BLAKE3, written as four little-endian 64-bit words of which each is printed as a number."""

from __future__ import annotations

import re
from collections.abc import Iterable

from blake3 import blake3

from ..blobs.store import Buffer

HASH_NBYTES = 32
_HASH = re.compile(r"[0-9a-f]{64}")
# Constants of the protocol: one key per use, so that a hash of one kind is never one of another.
_DATA_KEY = bytes.fromhex("6697f5775b9550de3135cbaca597181c9de421109beb2b58b4d0b04b93adf229")
_VERIFICATION_KEY = bytes.fromhex("7f1857d6ce56ed66127ff913e7a5c3f3a4cd26d5b5db49e64124987f28fb94c3")


def is_hash(text: str) -> bool:
    """Whether `text` has the form of a hash (64 lower-case hex digits)."""
    return _HASH.fullmatch(text) is not None


def to_hex(raw: bytes) -> str:
    """How a hash of 32 bytes is printed.

    >>> to_hex(bytes(range(32)))[:16]
    '0706050403020100'
    """
    return b"".join(raw[start : start + 8][::-1] for start in range(0, HASH_NBYTES, 8)).hex()


def chunk_hash(chunk: Buffer) -> bytes:
    """Hash of a chunk's bytes."""
    return blake3(chunk, key=_DATA_KEY).digest()


def range_hash(chunk_hashes: Iterable[bytes]) -> bytes:
    """Hash of the hashes of neighbouring chunks: who knows it has had the chunks."""
    return blake3(b"".join(chunk_hashes), key=_VERIFICATION_KEY).digest()
