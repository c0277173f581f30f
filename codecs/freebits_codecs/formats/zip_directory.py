"""The central directory of a zip file: which members are stored as they are, and where their bytes start.

Own code instead of `zipfile`, which reads a directory of any claimed length into memory at once and does
not say where a member's data starts.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BytesIO

from freebits_codecs.formats.source import Cursor, Source, Unreadable

MAX_MEMBERS = 1 << 18
MAX_COMMENT_NBYTES = 0xFFFF

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_ENCRYPTED = 1
_STORED = 0
_ZIP64_EXTRA = 1


@dataclass(frozen=True, slots=True)
class Member:
    """A member that is neither compressed nor encrypted: file bytes [start, start + nbytes)."""

    name: str
    start: int
    nbytes: int


def stored_members(source: Source) -> list[Member]:
    """All stored members, in directory order."""
    count, cursor, base = _locate(source)
    if count > MAX_MEMBERS:
        raise Unreadable(f"{count} zip members; at most {MAX_MEMBERS} are read")
    entries = (_read_entry(cursor, base) for _ in range(count))
    return [member for member in entries if member is not None]


def _locate(source: Source) -> tuple[int, Cursor, int]:
    """Number of entries, a cursor at the first, and the file offset that the zip's own offsets count from."""
    tail_nbytes = min(source.nbytes, _END.size + MAX_COMMENT_NBYTES)
    tail_start = source.nbytes - tail_nbytes
    at = source.read_at(tail_start, tail_nbytes).rfind(b"PK\5\6")
    if at < 0 or at + _END.size > tail_nbytes:
        raise Unreadable("no end of a zip directory")
    end_at = tail_start + at
    _, _, _, _, count, directory_nbytes, directory_start, _ = _END.unpack(source.read_at(end_at, _END.size))
    end64_at = _end64(source, end_at)
    if end64_at is not None:
        fields = _END64.unpack(source.read_at(end64_at, _END64.size))
        count, directory_nbytes, directory_start = fields[7:10]
        end_at = end64_at
    base = end_at - directory_nbytes - directory_start
    if base < 0:
        raise Unreadable("a zip directory that starts before the file")
    start = base + directory_start
    return count, Cursor(source, start, start + directory_nbytes), base


def _end64(source: Source, end_at: int) -> int | None:
    """Where the zip64 end record lies, if there is one."""
    locator_at = end_at - _END64_LOCATOR.size
    if locator_at < 0:
        return None
    magic, _, end64_at, _ = _END64_LOCATOR.unpack(source.read_at(locator_at, _END64_LOCATOR.size))
    if magic != b"PK\6\7":
        return None
    for at in (end64_at, locator_at - _END64.size):  # the second where something was put before the zip
        if 0 <= at <= locator_at - _END64.size and source.read_at(at, 4) == b"PK\6\6":
            return int(at)
    return None


def _read_entry(cursor: Cursor, base: int) -> Member | None:
    """The entry at the cursor, if it is stored."""
    fields = _ENTRY.unpack(cursor.take(_ENTRY.size))
    if fields[0] != b"PK\1\2":
        raise Unreadable(f"no zip directory entry at {cursor.at - _ENTRY.size}")
    flags, method, stored_nbytes, nbytes, local_at = fields[3], fields[4], fields[8], fields[9], fields[16]
    name, extra = cursor.take(fields[10]), cursor.take(fields[11])
    cursor.skip(fields[12])
    nbytes, stored_nbytes, local_at = _wide(extra, nbytes, stored_nbytes, local_at)
    if method != _STORED or flags & _ENCRYPTED or nbytes != stored_nbytes:
        return None
    return Member(name.decode("utf-8", "replace"), _data_start(cursor.source, base + local_at), nbytes)


def _wide(extra: bytes, *values: int) -> list[int]:
    """Each value that does not fit 32 bits, taken from the zip64 extra field."""
    wide = BytesIO(_zip64_extra(extra))
    return [int.from_bytes(wide.read(8), "little") if value == 0xFFFFFFFF else value for value in values]


def _zip64_extra(extra: bytes) -> bytes:
    while len(extra) >= 4:
        kind, nbytes = struct.unpack_from("<2H", extra)
        if kind == _ZIP64_EXTRA:
            return extra[4 : 4 + nbytes]
        extra = extra[4 + nbytes :]
    return b""


def _data_start(source: Source, local_at: int) -> int:
    """The data follows the local header, whose extra field need not be the directory's (torch pads there)."""
    fields = _LOCAL.unpack(source.read_at(local_at, _LOCAL.size))
    if fields[0] != b"PK\3\4":
        raise Unreadable(f"no zip member at {local_at}")
    return local_at + _LOCAL.size + int(fields[9]) + int(fields[10])
