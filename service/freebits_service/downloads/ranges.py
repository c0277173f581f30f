"""The conditional and range headers of a GET (RFC 9110). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import RangeNotSatisfiable

_SINGLE_RANGE = re.compile(r"bytes[ \t]*=[ \t]*(\d*)-(\d*)[ \t]*", re.ASCII | re.IGNORECASE)
_MAX_DIGITS = 18  # beyond this a number lies behind the end of any file


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes ``[start, stop)``, at least one."""

    start: int
    stop: int


def parse_range(header: str | None, nbytes: int) -> ByteRange | None:
    """The requested range of a body of `nbytes`; None for the whole of it.

    ``a-b``, ``a-`` and ``-n`` are understood. Anything else (several ranges, other units, nonsense) may be
    ignored by the RFC, and is. Raises RangeNotSatisfiable for a range that has no byte of the body.

    >>> parse_range("bytes=-3", 10)
    ByteRange(start=7, stop=10)
    """
    match = _SINGLE_RANGE.fullmatch(header) if header else None
    if match is None or match.group(1) == match.group(2) == "":
        return None
    first, last = (int(digits[:_MAX_DIGITS]) if digits else None for digits in match.groups())
    if first is None:
        assert last is not None
        first, last = max(0, nbytes - last) if last else nbytes, None
    elif last is not None and last < first:
        return None
    if first >= nbytes:
        raise RangeNotSatisfiable(nbytes)
    return ByteRange(first, nbytes if last is None else min(nbytes, last + 1))


def matches_none(header: str | None, etag: str) -> bool:
    """Whether ``If-None-Match`` names this ETag (then the answer is 304)."""
    if header is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return "*" in tags or etag in tags


def range_applies(if_range: str | None, etag: str) -> bool:
    """Whether a range may be answered: no ``If-Range``, or one that names this very ETag (dates never do)."""
    return if_range is None or if_range.strip() == etag


def accepts(header: str | None, media_type: str) -> bool:
    """Whether an ``Accept`` header names this media type itself, with a quality above 0."""
    for item in (header or "").split(","):
        name, *parameters = [part.strip().lower() for part in item.split(";")]
        if name == media_type:
            return not any(re.fullmatch(r"q\s*=\s*0(\.0*)?", parameter) for parameter in parameters)
    return False
