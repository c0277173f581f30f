"""HDF5 object headers: the messages that describe a group or a dataset (file format, section IV)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from freebits_codecs.dtype import DTYPES
from freebits_codecs.formats.layout import Budget
from freebits_codecs.formats.source import Cursor, Source, Unreadable

MAX_CONTINUATIONS = 4096
"""Blocks of one object header."""

DATASPACE, LINK_INFO, DATATYPE, LINK, LAYOUT, FILTERS, CONTINUATION, SYMBOL_TABLE = 1, 2, 3, 6, 8, 11, 16, 17

_SHARED = 2
_FIXED, _FLOAT, _ENUM = 0, 1, 8
_BIG_ENDIAN = 0x41
_SIGNED = 8


@dataclass(slots=True)
class Hdf5File:
    """A source with the sizes its superblock declares. Addresses count from `base`."""

    source: Source
    budget: Budget
    base: int
    offset_nbytes: int
    length_nbytes: int

    def at(self, address: int) -> Cursor:
        """A cursor at an address of the file."""
        return Cursor(self.source, self.base + address, self.source.nbytes)

    def is_defined(self, address: int) -> bool:
        """Whether an address is set; all ones means that there is nothing."""
        return address != (1 << 8 * self.offset_nbytes) - 1


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its type and the place of its content."""

    kind: int
    body: Cursor


def messages(file: Hdf5File, address: int) -> Iterator[Message]:
    """All messages of the object header at an address. Shared ones, which lie elsewhere, are left out."""
    cursor = file.at(address)
    version2 = cursor.take(4) == b"OHDR"
    blocks = [_first_block_v2(file, address) if version2 else _first_block_v1(file, address)]
    for block in blocks:
        if len(blocks) > MAX_CONTINUATIONS:
            raise Unreadable(f"an HDF5 object header of more than {MAX_CONTINUATIONS} blocks")
        for message, flags in _block_messages(file, block, version2):
            if message.kind == CONTINUATION:
                blocks.append(_continuation(file, message.body, block, version2))
            elif not flags & _SHARED:
                yield message


@dataclass(frozen=True, slots=True)
class _Block:
    start: int
    stop: int
    prefix_nbytes: int


def _first_block_v1(file: Hdf5File, address: int) -> _Block:
    cursor = file.at(address)
    if cursor.uint(1) != 1:
        raise Unreadable(f"no HDF5 object header at {address}")
    cursor.skip(7)
    nbytes = cursor.uint(4)
    cursor.skip(4)
    return _Block(cursor.at, cursor.at + nbytes, 8)


def _first_block_v2(file: Hdf5File, address: int) -> _Block:
    cursor = file.at(address)
    cursor.skip(5)
    flags = cursor.uint(1)
    cursor.skip((16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0))
    nbytes = cursor.uint(1 << (flags & 3))
    return _Block(cursor.at, cursor.at + nbytes, 6 if flags & 4 else 4)


def _continuation(file: Hdf5File, body: Cursor, first: _Block, version2: bool) -> _Block:
    address, nbytes = body.uint(file.offset_nbytes), body.uint(file.length_nbytes)
    start = file.base + address
    if version2:  # "OCHK" before, a checksum behind
        return _Block(start + 4, start + nbytes - 4, first.prefix_nbytes)
    return _Block(start, start + nbytes, first.prefix_nbytes)


def _block_messages(file: Hdf5File, block: _Block, version2: bool) -> Iterator[tuple[Message, int]]:
    """Messages with their flags."""
    kind_nbytes = 1 if version2 else 2
    at = block.start
    while at + block.prefix_nbytes <= block.stop:
        file.budget.step()
        cursor = Cursor(file.source, at, block.stop)
        kind, nbytes, flags = cursor.uint(kind_nbytes), cursor.uint(2), cursor.uint(1)
        body_start = at + block.prefix_nbytes
        at = body_start + nbytes
        if at > block.stop:
            raise Unreadable(f"an HDF5 message that passes its block's end at {block.stop}")
        yield Message(kind, Cursor(file.source, body_start, at)), flags


def dataspace(file: Hdf5File, body: Cursor) -> tuple[int, ...] | None:
    """The shape; None for a dataset without data."""
    version, rank, _ = body.uint(1), body.uint(1), body.uint(1)
    if version == 1:
        body.skip(5)
    elif version != 2 or body.uint(1) == 2:
        return None
    return tuple(body.uint(file.length_nbytes) for _ in range(rank))


def datatype(body: Cursor) -> str | None:
    """The dtype of little-endian floats, integers and booleans; None for all else."""
    kind, flags = body.uint(1) & 15, body.uint(1)
    body.skip(2)
    itemsize = body.uint(4)
    if kind == _FIXED and not flags & 1:
        body.skip(4)  # bit offset and precision: an enum's names follow
        name = f"{'I' if flags & _SIGNED else 'U'}{8 * itemsize}"
        return name if name in DTYPES else None
    if kind == _FLOAT and not flags & _BIG_ENDIAN:
        return _float(itemsize, body)
    if kind == _ENUM:
        base = datatype(body)
        members = body.take(min(body.stop - body.at, 16))
        return "BOOL" if base == "I8" and members[:5] == b"FALSE" else base
    return None


def _float(itemsize: int, body: Cursor) -> str | None:
    body.skip(5)
    exponent_bits = body.uint(1)
    body.skip(1)
    mantissa_bits = body.uint(1)
    body.skip(4)
    for name, dtype in DTYPES.items():
        if (dtype.itemsize, dtype.exponent_bits, dtype.mantissa_bits) == (
            itemsize,
            exponent_bits,
            mantissa_bits,
        ):
            return name
    return None
