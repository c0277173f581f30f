"""Headers of forms and of the files they make: JSON from anybody, checked before anything relies on it."""

from __future__ import annotations

import json
import math
from typing import Any

from freebits_codecs.dtype import DTYPES
from freebits_codecs.errors import CorruptContainer
from freebits_codecs.formats.layout import MAX_RANK, Tensor
from freebits_codecs.symmetry.safetensors_file import METADATA


def parse_header(text: bytes | str) -> dict[str, Any]:
    """A JSON object; no object in it may have a key twice. Raises CorruptContainer."""
    try:
        whole = text if isinstance(text, str) else text.decode()
        return json_object(json.loads(whole, object_pairs_hook=_without_repetition), "header")
    except (ValueError, RecursionError) as error:
        raise CorruptContainer("header of a form", found=str(error)[:80], expected="JSON") from None


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key that is there twice")
    return values


def read_entries(header: dict[str, Any], data_start: int, nbytes: int) -> dict[str, Tensor]:
    """The tensors of a safetensors header; they must follow each other and fill the file. Raises CorruptContainer."""
    entries, at = {}, data_start
    for name, value in header.items():
        if name == METADATA:
            continue
        entry = json_object(value, name)
        dtype, shape, offsets = entry.get("dtype"), _integers(entry.get("shape")), _integers(entry.get("data_offsets"))
        if type(dtype) is not str or dtype not in DTYPES or shape is None or offsets is None or len(offsets) != 2:
            raise CorruptContainer(
                f"entry of {name[:80]}", found=repr(dtype)[:80], expected="dtype, shape and data_offsets"
            )
        start, stop = data_start + offsets[0], data_start + offsets[1]
        if start != at or stop - start != math.prod(shape) * DTYPES[dtype].itemsize:
            raise CorruptContainer(
                f"offsets of {name[:80]}", found=str(offsets)[:80], expected=f"from {at - data_start} on, no hole"
            )
        entries[name] = Tensor(name, dtype, tuple(shape), start, stop)
        at = stop
    if at != nbytes:
        raise CorruptContainer("length of a safetensors file", found=nbytes, expected=at)
    return entries


def json_object(value: object, what: str) -> dict[str, Any]:
    """The object itself. Raises CorruptContainer for anything else."""
    if not isinstance(value, dict):
        raise CorruptContainer(f"{what[:80]} of a form", found=type(value).__name__, expected="a JSON object")
    return value


def whole_number(value: object) -> int:
    """The number itself, -1 for anything else; JSON's `true` and `1.0` are none."""
    return value if type(value) is int else -1


def _integers(value: object) -> list[int] | None:
    """A short list of whole numbers that can be lengths, None for anything else."""
    if isinstance(value, list) and len(value) <= MAX_RANK and all(0 <= whole_number(item) < 1 << 48 for item in value):
        return value
    return None
