"""safetensors: 8 bytes of header length, a JSON header, the data.

A header of usual size is given to the JSON parser whole. A longer one, or one that is not quite JSON, is taken
apart entry by entry with a regular expression and only one small entry at a time is given to that parser, so a
header of 100 MB costs little more memory than its bytes, and entries before a mistake count.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import cast

from freebits_codecs.dtype import DTYPES
from freebits_codecs.formats.layout import Found
from freebits_codecs.formats.source import Source, Unreadable

NAME = "safetensors"

MAX_HEADER_NBYTES = 100_000_000
"""The limit of the safetensors library itself."""

WHOLE_HEADER_NBYTES = 1 << 20
"""Headers up to this are parsed at once, at the speed of C; they become at most fifty times as large."""

MAX_ENTRY_NBYTES = 8192
"""JSON text of one tensor's entry in a longer header; longer ones are passed over."""

_STRING = rb'"(?>[^"\\]++|\\.)*+"'
_FLAT_OBJECT = rb'\{(?>[^"{}]++|' + _STRING + rb")*+\}"
_ENTRY = re.compile(
    rb"\s*+(?P<name>" + _STRING + rb")\s*+:\s*+(?P<value>" + _FLAT_OBJECT + rb"|null)\s*+(?P<end>[,}])",
    re.DOTALL,
)
_METADATA = "__metadata__"
_JSON = json.JSONDecoder(object_pairs_hook=tuple)  # pairs: a name given twice is seen twice
_INT = frozenset((int,))  # bool is another type
_COMPLEX = {"C64": "F32", "C128": "F64"}

Entry = tuple[str, object]
"""A tensor's name and the JSON value that describes it."""


def recognises(head: bytes) -> bool:
    """A believable header length, then a JSON object."""
    return 2 <= int.from_bytes(head[:8], "little") <= MAX_HEADER_NBYTES and head[8:9] == b"{"


def read(source: Source, found: Found) -> None:
    """Every tensor with a name and a place; holes, odd dtypes and repeated names are tolerated."""
    header_nbytes = int.from_bytes(source.read_at(0, 8), "little")
    header = source.read_at(8, header_nbytes)
    for name, entry in _entries(header):
        found.budget.step()
        if name != _METADATA:
            _read_entry(name, entry, 8 + header_nbytes, found)


def _entries(header: bytes) -> Iterable[Entry]:
    if len(header) <= WHOLE_HEADER_NBYTES:
        try:
            return cast(Iterable[Entry], _JSON.raw_decode(header.decode())[0])
        except (ValueError, RecursionError):
            pass  # whatever comes before the mistake is worth having
    return _entries_one_by_one(header)


def _entries_one_by_one(header: bytes) -> Iterator[Entry]:
    at, end = 1, b"}" if re.fullmatch(rb"\{\s*+\}\s*+", header) else b","
    while end == b",":
        entry = _ENTRY.match(header, at)
        if entry is None:
            raise Unreadable(f"no tensor entry at byte {at} of the header")
        at, end = entry.end(), entry["end"]
        if entry.end("value") - entry.start("name") <= MAX_ENTRY_NBYTES:
            yield _text(entry["name"]), _JSON.raw_decode(entry["value"].decode())[0]


def _text(quoted: bytes) -> str:
    """A JSON string; nearly all names are what stands between the quotes."""
    text = quoted[1:-1].decode()
    if "\\" not in text and text.isprintable():
        return text
    return str(json.loads(quoted))


def _read_entry(name: str, entry: object, data_start: int, found: Found) -> None:
    if not isinstance(entry, tuple):
        raise Unreadable(f"the entry of tensor {name[:80]!r} is no object")
    facts = dict(entry)
    dtype, shape, offsets = str(facts.get("dtype")), facts.get("shape"), facts.get("data_offsets")
    if not (isinstance(shape, list) and isinstance(offsets, list) and _INT.issuperset(map(type, shape + offsets))):
        raise Unreadable(f"a shape or offset of tensor {name[:80]!r} is not a list of integers")
    if len(offsets) != 2 or not 0 <= offsets[0] <= offsets[1]:
        raise Unreadable(f"tensor {name[:80]!r} has the data offsets {offsets[:3]}")
    if dtype in _COMPLEX:
        dtype, shape = _COMPLEX[dtype], [*shape, 2]
    if dtype not in DTYPES:
        dtype = "U8"
    found.array(name, dtype, shape, data_start + offsets[0], offsets[1] - offsets[0])
