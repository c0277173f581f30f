"""safetensors: 8 bytes of header length, a JSON header, the data.

The header is taken apart entry by entry with a regular expression and only one small entry at a time is
given to the JSON parser, so a header of 100 MB costs little more memory than its bytes.
"""

from __future__ import annotations

import json
import re

from freebits_codecs.dtype import DTYPES
from freebits_codecs.formats.layout import Found
from freebits_codecs.formats.source import Source, Unreadable

NAME = "safetensors"

MAX_HEADER_NBYTES = 100_000_000
"""The limit of the safetensors library itself."""

MAX_ENTRY_NBYTES = 8192
"""JSON text of one tensor's entry; longer ones are passed over."""

_STRING = rb'"(?>[^"\\]++|\\.)*+"'
_FLAT_OBJECT = rb'\{(?>[^"{}]++|' + _STRING + rb")*+\}"
_ENTRY = re.compile(
    rb"\s*+(?P<name>" + _STRING + rb")\s*+:\s*+(?P<value>" + _FLAT_OBJECT + rb"|null)\s*+(?P<end>[,}])",
    re.DOTALL,
)
_METADATA = b'"__metadata__"'
_JSON = json.JSONDecoder()
_COMPLEX = {"C64": "F32", "C128": "F64"}


def recognises(head: bytes) -> bool:
    """A believable header length, then a JSON object."""
    return 2 <= int.from_bytes(head[:8], "little") <= MAX_HEADER_NBYTES and head[8:9] == b"{"


def read(source: Source, found: Found) -> None:
    """Every tensor with a name and a place; holes, odd dtypes and repeated names are tolerated."""
    header_nbytes = int.from_bytes(source.read_at(0, 8), "little")
    header = source.read_at(8, header_nbytes)
    at, end = 1, b"}" if re.fullmatch(rb"\{\s*+\}\s*+", header) else b","
    while end == b",":
        found.budget.step()
        entry = _ENTRY.match(header, at)
        if entry is None:
            raise Unreadable(f"no tensor entry at byte {at} of the header")
        at, end = entry.end(), entry["end"]
        is_small = entry.end("value") - entry.start("name") <= MAX_ENTRY_NBYTES
        if is_small and entry["name"] != _METADATA:
            _read_entry(_text(entry["name"]), _JSON.raw_decode(entry["value"].decode())[0], 8 + header_nbytes, found)


def _text(quoted: bytes) -> str:
    """A JSON string; nearly all names are what stands between the quotes."""
    text = quoted[1:-1].decode()
    if "\\" not in text and text.isprintable():
        return text
    return str(json.loads(quoted))


def _read_entry(name: str, entry: object, data_start: int, found: Found) -> None:
    if not isinstance(entry, dict):
        raise Unreadable(f"the entry of tensor {name[:80]!r} is no object")
    dtype, shape = str(entry.get("dtype")), _integers(entry.get("shape"))
    offsets = _integers(entry.get("data_offsets"))
    if len(offsets) != 2 or not 0 <= offsets[0] <= offsets[1]:
        raise Unreadable(f"tensor {name[:80]!r} has the data offsets {offsets[:3]}")
    if dtype in _COMPLEX:
        dtype, shape = _COMPLEX[dtype], [*shape, 2]
    if dtype not in DTYPES:
        dtype = "U8"
    found.array(name, dtype, shape, data_start + offsets[0], offsets[1] - offsets[0])


def _integers(value: object) -> list[int]:
    if not isinstance(value, list) or not {int}.issuperset(map(type, value)):
        raise Unreadable("a shape or offset is not a list of integers")
    return value
