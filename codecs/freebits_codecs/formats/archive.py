"""Zip files: torch's, numpy's npz, and any other whose stored members are files this package can read."""

from __future__ import annotations

from collections.abc import Callable

from freebits_codecs.formats import npy, torch_zip
from freebits_codecs.formats.layout import Found
from freebits_codecs.formats.source import PartSource, Source
from freebits_codecs.formats.zip_directory import Member, stored_members

MAX_DEPTH = 3
"""Archives inside archives."""

ReadNested = Callable[[Source, Found, int], str | None]
"""Reads a nested file at some depth; the name of its format, or None when nobody knows it."""


def recognises(head: bytes) -> bool:
    return head[:4] == b"PK\3\4"


def read(source: Source, found: Found, depth: int, read_nested: ReadNested) -> str:
    """Fill `found`, answer the name of the format: torch, npz or zip."""
    members = {member.name: member for member in stored_members(source)}
    folder = torch_zip.archive_folder(members)
    if folder is not None:
        torch_zip.read(source, members, folder, found)
        return torch_zip.NAME
    if members and all(name.endswith(".npy") for name in members):
        _read_npz(source, members, found)
        return "npz"
    if depth < MAX_DEPTH:
        for member in members.values():
            part = PartSource(source, member.start, member.nbytes)
            with found.attempt():
                read_nested(part, found.within(member.start, member.name + "/"), depth + 1)
    return "zip"


def _read_npz(source: Source, members: dict[str, Member], found: Found) -> None:
    """Arrays named as numpy.load names them."""
    for member in members.values():
        part = PartSource(source, member.start, member.nbytes)
        npy.read_as(member.name.removesuffix(".npy"), part, found.within(member.start, ""))
