"""HDF5, as Keras and h5py write it: groups, and datasets stored contiguous, compact, or chunked unfiltered.

Own code instead of pyfive (BSD-3, kept up, knows file offsets): it brings numcodecs and fsspec into the
base install, has no limits, and answers damaged files with whatever exception comes first. Not read:
links in fractal heaps (groups of more than eight members written with libver="latest"), and chunk
indexes of datasets that can grow written so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from freebits_codecs.dtype import DTYPES
from freebits_codecs.formats import hdf5_header as header
from freebits_codecs.formats.hdf5_data import MAX_TREE_DEPTH, data_runs, tree_children
from freebits_codecs.formats.hdf5_header import Hdf5File, Message
from freebits_codecs.formats.layout import MAX_NAME_LENGTH, Found
from freebits_codecs.formats.source import Cursor, Source, Unreadable

NAME = "hdf5"

MAX_DEPTH = 64
"""Groups inside groups."""

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SOFT_LINK = 2


def recognises(head: bytes) -> bool:
    return head[:8] == _SIGNATURE


def read(source: Source, found: Found) -> None:
    """Datasets under their full path without the first slash."""
    file, root = _superblock(source, found)
    _Walk(file, found, {root}).read_object(root, "", MAX_DEPTH)


def _superblock(source: Source, found: Found) -> tuple[Hdf5File, int]:
    """The file's parameters and the address of its root group."""
    cursor = Cursor(source, len(_SIGNATURE), source.nbytes)
    version = cursor.uint(1)
    if version > 3:
        raise Unreadable(f"HDF5 superblock version {version}")
    cursor.skip(4 if version < 2 else 0)
    offset_nbytes, length_nbytes = cursor.uint(1), cursor.uint(1)
    if not {offset_nbytes, length_nbytes} <= {2, 4, 8}:
        raise Unreadable(f"HDF5 offsets of {offset_nbytes} and lengths of {length_nbytes} bytes")
    cursor.skip({0: 9, 1: 13, 2: 1, 3: 1}[version])
    base = cursor.uint(offset_nbytes)
    cursor.skip((4 if version < 2 else 2) * offset_nbytes)  # free space, end, driver, root's name; extension, end
    return Hdf5File(source, found.budget, base, offset_nbytes, length_nbytes), cursor.uint(offset_nbytes)


@dataclass(frozen=True, slots=True)
class _Walk:
    """A walk over all objects of a file. `seen` holds those entered, so that loops of links end."""

    file: Hdf5File
    found: Found
    seen: set[int]

    def read_object(self, address: int, name: str, depth: int) -> None:
        """A dataset, or a group and all below it."""
        by_kind: dict[int, Message] = {}
        for message in header.messages(self.file, address):
            by_kind.setdefault(message.kind, message)
            if message.kind == header.LINK:
                self._follow([_link(self.file, message.body)], name, depth)
            elif message.kind == header.SYMBOL_TABLE:
                self._follow(_symbol_table(self.file, message.body), name, depth)
        if {header.DATASPACE, header.DATATYPE, header.LAYOUT} <= by_kind.keys():
            _read_dataset(self.file, by_kind, name, self.found)

    def _follow(self, links: Iterable[tuple[str, int | None]], parent: str, depth: int) -> None:
        for name, address in links:
            path = f"{parent}/{name}" if parent else name
            if address is None or address in self.seen or not depth or len(path) > MAX_NAME_LENGTH:
                continue
            self.seen.add(address)
            with self.found.attempt():
                self.read_object(address, path, depth - 1)


def _link(file: Hdf5File, body: Cursor) -> tuple[str, int | None]:
    """Name and address of a link message; no address where it is soft or external."""
    body.skip(1)
    flags = body.uint(1)
    kind = body.uint(1) if flags & 8 else 0
    body.skip((8 if flags & 4 else 0) + (1 if flags & 16 else 0))
    name = body.take(body.uint(1 << (flags & 3))).decode("utf-8", "replace")
    return name, None if kind else body.uint(file.offset_nbytes)


def _symbol_table(file: Hdf5File, body: Cursor) -> Iterator[tuple[str, int | None]]:
    """Names and addresses of an old-style group."""
    tree, heap = body.uint(file.offset_nbytes), body.uint(file.offset_nbytes)
    names = file.at(heap)
    if names.take(4) != b"HEAP":
        raise Unreadable(f"no HDF5 local heap at {heap}")
    names.skip(4 + 2 * file.length_nbytes)
    names_start = names.uint(file.offset_nbytes)
    for node in _symbol_nodes(file, tree, MAX_TREE_DEPTH):
        yield from _symbols(file, node, names_start)


def _symbol_nodes(file: Hdf5File, tree: int, depth: int) -> Iterator[int]:
    for level, child in tree_children(file, tree, 0, file.length_nbytes):
        if level == 0:
            yield child
        elif depth:
            yield from _symbol_nodes(file, child, depth - 1)


def _symbols(file: Hdf5File, node: int, names_start: int) -> Iterator[tuple[str, int | None]]:
    cursor = file.at(node)
    if cursor.take(4) != b"SNOD":
        raise Unreadable(f"no HDF5 symbol table node at {node}")
    cursor.skip(2)
    count = cursor.uint(2)
    file.budget.step(count)
    for _ in range(count):
        name_at, address = cursor.uint(file.offset_nbytes), cursor.uint(file.offset_nbytes)
        kind = cursor.uint(4)
        cursor.skip(20)
        yield _name(file, names_start + name_at), None if kind == _SOFT_LINK else address


def _name(file: Hdf5File, address: int) -> str:
    """A name in a local heap ends with a zero byte."""
    start = file.base + address
    text = file.source.read_at(start, min(MAX_NAME_LENGTH, max(file.source.nbytes - start, 0)))
    return text.partition(b"\0")[0].decode("utf-8", "replace")


def _read_dataset(file: Hdf5File, by_kind: dict[int, Message], name: str, found: Found) -> None:
    shape = header.dataspace(file, by_kind[header.DATASPACE].body)
    dtype = header.datatype(by_kind[header.DATATYPE].body)
    if shape is None or dtype is None:
        return
    itemsize = DTYPES[dtype].itemsize
    data = data_runs(file, by_kind[header.LAYOUT].body, shape, itemsize, header.FILTERS in by_kind)
    for start, nbytes in data.runs:
        if data.is_array:
            found.array(name, dtype, shape, start, nbytes)
        else:
            found.extent(dtype, start, nbytes)
