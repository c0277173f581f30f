"""(11.1) A safetensors file taken apart, and the recipe's fields read with their types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freebits_codecs.errors import CorruptContainer, LimitExceeded

Floats = NDArray[np.float64]
Words = NDArray[np.unsignedinteger]

MAX_HEADER_NBYTES = 100_000_000
ITEM_NBYTES = {
    **{"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2},
    **{"F8_E4M3": 1, "F8_E5M2": 1, "I8": 1, "U8": 1, "BOOL": 1},
}
MAX_DIMENSIONS = 64
MAX_LENGTH = 1 << 48


class Fields:
    """A JSON object whose values are asked for by name and type. Raises CorruptContainer where one is not as asked."""

    def __init__(self, value: object, what: str) -> None:
        if not isinstance(value, dict):
            raise CorruptContainer(what, found=type(value).__name__, expected="an object")
        self._values, self._what = value, what

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def _get(self, key: str, kind: type) -> Any:
        value = self._values.get(key)
        if type(value) is not kind:  # True is no number here
            raise CorruptContainer(f"{key} of {self._what}", found=repr(value)[:80], expected=kind.__name__)
        return value

    def text(self, key: str) -> str:
        return str(self._get(key, str))

    def number(self, key: str, low: int, high: int) -> int:
        value = int(self._get(key, int))
        if not low <= value <= high:
            raise CorruptContainer(f"{key} of {self._what}", found=value, expected=f"{low} to {high}")
        return value

    def numbers(self, key: str) -> list[int]:
        values = self._get(key, list)
        if any(type(value) is not int or not 0 <= value < MAX_LENGTH for value in values):
            raise CorruptContainer(f"{key} of {self._what}", found=repr(values)[:80], expected="integers")
        return list(values)

    def items(self, key: str) -> list[Any]:
        return list(self._get(key, list))

    def object(self, key: str) -> Fields:
        return Fields(self._get(key, dict), f"{key} of {self._what}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)


@dataclass(frozen=True)
class Entry:
    """A tensor as a safetensors header names it."""

    dtype: str
    shape: tuple[int, ...]
    nbytes: int

    @property
    def numel(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class Tensor(Entry):
    """A tensor and its bytes."""

    data: bytes

    def words(self) -> Words:
        """Its bit patterns."""
        return np.frombuffer(self.data, f"<u{ITEM_NBYTES[self.dtype]}")

    def floats(self) -> Floats:
        """Its values, flat."""
        with np.errstate(invalid="ignore"):
            if self.dtype == "BF16":
                return (self.words().astype("<u4") << np.uint32(16)).view("<f4").astype(np.float64)
            return np.frombuffer(self.data, f"<f{ITEM_NBYTES[self.dtype]}").astype(np.float64)


def as_dtype(values: Floats, dtype: str) -> bytes:
    """(11.2) Rounded to nearest, half to even; to BF16 by way of float32."""
    with np.errstate(over="ignore", invalid="ignore"):
        if dtype != "BF16":
            return values.astype({"F16": "<f2", "F32": "<f4"}[dtype]).tobytes()
        bits = values.astype("<f4").view("<u4").astype(np.uint64)
        return ((bits + 0x7FFF + (bits >> np.uint64(16) & np.uint64(1))) >> np.uint64(16)).astype("<u2").tobytes()


def read_head(file: bytes) -> tuple[int, dict[str, str], dict[str, Entry]]:
    """Where the data of a safetensors file begin, its metadata, and its tensors in the order of the header."""
    header_nbytes = int.from_bytes(file[:8], "little")
    if header_nbytes > MAX_HEADER_NBYTES:
        raise LimitExceeded("bytes of a safetensors header", found=header_nbytes, limit=MAX_HEADER_NBYTES)
    if len(file) < 8 + header_nbytes:
        raise CorruptContainer("safetensors file", found=f"{len(file)} bytes", expected=f"{8 + header_nbytes} or more")
    header = Fields(parse_json(file[8 : 8 + header_nbytes], "safetensors header"), "safetensors header")
    metadata = header.object("__metadata__") if "__metadata__" in header else Fields({}, "metadata")
    texts = {key: metadata.text(key) for key in metadata}
    entries, at = {}, 0
    for name in header:
        if name != "__metadata__":
            entries[name] = _entry(header.object(name), at)
            at += entries[name].nbytes
    return 8 + header_nbytes, texts, entries


def read_tensors(file: bytes) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a safetensors file that its tensors fill."""
    at, metadata, entries = read_head(file)
    tensors = {}
    for name, entry in entries.items():
        data = file[at : at + entry.nbytes]
        tensors[name] = Tensor(entry.dtype, entry.shape, entry.nbytes, data)
        at += entry.nbytes
    if at != len(file):
        raise CorruptContainer("length of a safetensors file", found=len(file), expected=at)
    return metadata, tensors


def _entry(fields: Fields, at: int) -> Entry:
    """A tensor's entry; its data must begin at `at`."""
    dtype, shape = fields.text("dtype"), tuple(fields.numbers("shape"))
    if dtype not in ITEM_NBYTES or len(shape) > MAX_DIMENSIONS:
        raise CorruptContainer("dtype and shape", found=(dtype, shape[:4]), expected="those of a tensor")
    nbytes = prod(shape) * ITEM_NBYTES[dtype]
    if fields.numbers("data_offsets") != [at, at + nbytes]:
        raise CorruptContainer("data_offsets", found=fields.numbers("data_offsets")[:3], expected=[at, at + nbytes])
    return Entry(dtype, shape, nbytes)


def parse_json(text: bytes | str, what: str) -> object:
    """A JSON text, of which no object has a key twice."""
    try:
        whole = text if isinstance(text, str) else text.decode()
        return json.loads(whole, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise CorruptContainer(what, found=str(error), expected="JSON") from None


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key that occurs twice")
    return values
