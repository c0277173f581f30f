"""For tests: files of every dtype and kind of value, and containers taken apart and put together again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freebits_codecs.container.ending import Footer, pack_digest, pack_index
from freebits_codecs.container.reader import BytesSource, ContainerReader
from freebits_codecs.container.records import (
    CHUNK,
    CHUNK_NBYTES,
    FIRST_VERSION,
    HEADER_NBYTES,
    INDEXED,
    TERSE_VERSION,
    Header,
    Record,
)
from freebits_codecs.dtype import DTYPES, Dtype

Words = NDArray[np.unsignedinteger]
"""Bit patterns of elements, in an unsigned integer type of their width."""


def _word_type(dtype: Dtype) -> np.dtype[np.unsignedinteger]:
    return np.dtype(f"<u{dtype.itemsize}")


def _random_words(dtype: Dtype, numel: int, rng: np.random.Generator) -> Words:
    return np.frombuffer(rng.bytes(numel * dtype.itemsize), _word_type(dtype))


def _normal(dtype: Dtype, numel: int, rng: np.random.Generator) -> Words:
    """Weights around 0.02; integers around 0."""
    floats = rng.normal(0, 0.02, numel)
    if not dtype.is_float:
        return np.rint(floats * 1000).astype(np.int64).astype(_word_type(dtype))
    if dtype.exponent_bits == 11:
        return floats.view(np.uint64)
    narrow = floats.astype(np.float32 if dtype.exponent_bits == 8 else np.float16)
    words: Words = narrow.view(np.uint32 if narrow.itemsize == 4 else np.uint16)
    if dtype.name == "F8_E4M3":
        words = words << np.uint16(1) & np.uint16(0x7F00) | words & np.uint16(0x8000)
    shift = words.dtype.type(8 * (narrow.itemsize - dtype.itemsize))
    return np.asarray(words >> shift, _word_type(dtype))


def _constant(dtype: Dtype, numel: int, rng: np.random.Generator) -> Words:
    return np.full(numel, _random_words(dtype, 1, rng)[0])


def _fields(dtype: Dtype, exponent: int, numel: int, rng: np.random.Generator) -> Words:
    """One exponent, any mantissa, any sign; integers get the same bits as the float of their width would."""
    mantissa_bits = dtype.mantissa_bits or dtype.itemsize * 4
    exponent_bits = dtype.itemsize * 8 - 1 - mantissa_bits
    ones = _word_type(dtype).type((1 << exponent_bits) - 1 << mantissa_bits)
    words = _random_words(dtype, numel, rng)
    return np.asarray(words | ones if exponent else words & ~ones)


def _nan_payloads(dtype: Dtype, numel: int, rng: np.random.Generator) -> Words:
    return _fields(dtype, -1, numel, rng)


def _denormals(dtype: Dtype, numel: int, rng: np.random.Generator) -> Words:
    return _fields(dtype, 0, numel, rng)


def _specials(dtype: Dtype, numel: int, rng: np.random.Generator) -> Words:
    """Zeros and infinities of both signs among weights."""
    words = _normal(dtype, numel, rng).copy()
    infinity = _fields(dtype, -1, 1, rng)[0] >> (dtype.mantissa_bits or 1) << (dtype.mantissa_bits or 1)
    sign = 1 << dtype.itemsize * 8 - 1
    table = np.array([0, sign, infinity | sign, infinity & ~np.array(sign, infinity.dtype)], words.dtype)
    at = rng.random(numel) < 0.2
    words[at] = table[rng.integers(0, 4, int(at.sum()))]
    return words


def _peaked(dtype: Dtype, numel: int, rng: np.random.Generator) -> Words:
    """One value nearly always, anything else: escapes."""
    words = _random_words(dtype, numel, rng).copy()
    words[rng.random(numel) < 0.98] = 0x3C
    return words


def _sorted(dtype: Dtype, numel: int, rng: np.random.Generator) -> Words:
    return np.sort(_random_words(dtype, numel, rng))


def _changing(dtype: Dtype, numel: int, rng: np.random.Generator) -> Words:
    """Another distribution every few thousand elements: several models, tiles of every kind."""
    words = np.empty(numel, _word_type(dtype))
    for first in range(0, numel, 5000):
        kind = (_normal, _peaked, _constant, _nan_payloads)[first // 5000 % 4]
        words[first : first + 5000] = kind(dtype, min(5000, numel - first), rng)
    return words


MIXES: dict[str, Callable[[Dtype, int, np.random.Generator], Words]] = {
    "normal": _normal,
    "constant": _constant,
    "nan payloads": _nan_payloads,
    "denormals": _denormals,
    "specials": _specials,
    "peaked": _peaked,
    "uniform": _random_words,
    "sorted": _sorted,
    "changing": _changing,
}
"""Kinds of values, by name."""


def values(mix: str, dtype: str, numel: int, seed: int = 0) -> bytes:
    """`numel` elements of `dtype`, little-endian, with values of a kind that `MIXES` names."""
    return MIXES[mix](DTYPES[dtype], numel, np.random.default_rng(seed)).tobytes()


def safetensors(tensors: Iterable[tuple[str, bytes]]) -> bytes:
    """A safetensors file of one-dimensional tensors (dtype, bytes), named t0, t1, ... and laid without gaps."""
    header, data, at = {}, b"", 0
    for number, (dtype, content) in enumerate(tensors):
        stop = at + len(content)
        shape = [len(content) // DTYPES[dtype].itemsize]
        header[f"t{number}"] = {"dtype": dtype, "shape": shape, "data_offsets": [at, stop]}
        data, at = data + content, stop
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


@dataclass(slots=True)
class RecordParts:
    """What a record says of itself; stored length, checksum and, unless given, number follow."""

    nbytes: int
    payload: bytes
    flags: int = 0
    kind: bytes = CHUNK
    number: int | None = None

    def pack(self, chunk: int) -> bytes:
        number = chunk if self.number is None else self.number
        return Record.pack(self.kind, self.flags, number, self.nbytes, self.payload)


@dataclass(slots=True)
class Parts:
    """The parts of a container.

    >>> from freebits_codecs import encode
    >>> packed = encode(b"spam" * 1000, sha256=True)
    >>> Parts.of(packed).container() == packed
    True
    """

    records: list[RecordParts] = field(default_factory=list)
    sha256: str | None = None
    chunk_nbytes: int = CHUNK_NBYTES
    ending: int = INDEXED

    @staticmethod
    def of(container: bytes) -> Parts:
        reader = ContainerReader(BytesSource(container))
        ending = Header.parse(container[:HEADER_NBYTES]).ending
        records = []
        for chunk in range(reader.chunk_count):
            record, stored = reader.read_record(chunk)
            payload = bytes(stored[-record.stored_nbytes :]) if record.stored_nbytes else b""
            records.append(RecordParts(record.nbytes, payload, record.flags, record.kind))
        return Parts(records, reader.sha256, reader.chunk_nbytes, ending)

    def container(self, *, stored_nbytes: list[int] | None = None, **footer: Any) -> bytes:
        """The container; `stored_nbytes` replaces the index, `footer` fields of the footer, if it has these."""
        version = FIRST_VERSION if self.ending == INDEXED else TERSE_VERSION
        header = Header(self.chunk_nbytes, version=version, ending=self.ending)
        front = header.pack() + b"".join(record.pack(chunk) for chunk, record in enumerate(self.records))
        if self.ending != INDEXED:
            return front + (pack_digest(self.sha256) if self.sha256 else b"")
        true_index = [len(record.payload) for record in self.records]
        index = pack_index(np.array(true_index if stored_nbytes is None else stored_nbytes, np.uint32))
        honest = Footer(len(self.records), sum(record.nbytes for record in self.records), len(front), self.sha256)
        return front + index + replace(honest, **footer).pack()
