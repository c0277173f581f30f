"""Torch's zip format (torch.save since 1.6, TorchScript): a pickle of names, a stored member per storage."""

from __future__ import annotations

from collections.abc import Mapping

from freebits_codecs.dtype import DTYPES
from freebits_codecs.formats.layout import Budget, Found
from freebits_codecs.formats.pickle_machine import unpickle
from freebits_codecs.formats.sniff import MAX_SAMPLE_NBYTES, sniff
from freebits_codecs.formats.source import Source, Unreadable
from freebits_codecs.formats.torch_objects import Inventory, View, take_inventory
from freebits_codecs.formats.zip_directory import Member

NAME = "torch"

MAX_PICKLE_NBYTES = 64 << 20
"""The pickle holds names and views, no data."""

_PICKLES = {"data.pkl": "data/", "constants.pkl": "constants/"}
"""Pickle of an archive (constants: TorchScript only) and the folder of its storages."""


def archive_folder(members: Mapping[str, Member]) -> str | None:
    """The folder that all of a torch archive lies in, with its slash; None for any other zip."""
    for name in members:
        if name.endswith("/data.pkl"):
            return name.removesuffix("data.pkl")
    return None


def read(source: Source, members: Mapping[str, Member], folder: str, found: Found) -> None:
    """Tensors by name and every storage. A pickle that cannot be read costs the names only."""
    byteorder = members.get(folder + "byteorder")
    if byteorder and source.read_at(byteorder.start, min(byteorder.nbytes, 3)) == b"big":
        return
    for pickle_name, storage_folder in _PICKLES.items():
        pickle = members.get(folder + pickle_name)
        storages = _storages(members, folder + storage_folder)
        if pickle and storages:
            _read_storages(source, pickle, storages, found)


def _storages(members: Mapping[str, Member], folder: str) -> dict[str, Member]:
    """Key -> member."""
    return {name.removeprefix(folder): member for name, member in members.items() if name.startswith(folder)}


def _read_storages(source: Source, pickle: Member, storages: Mapping[str, Member], found: Found) -> None:
    inventory = Inventory()
    with found.attempt():
        inventory = take_inventory(_load(source, pickle, found.budget), found.budget)
        for name, view in inventory.views:
            if view.storage.key in storages:
                add_view(name, view, storages[view.storage.key].start, storages[view.storage.key].nbytes, found)
    for key, member in storages.items():
        dtype = inventory.dtypes.get(key) or _sniffed_dtype(source, member)
        if dtype is not None:
            found.extent(dtype, member.start, member.nbytes)


def _load(source: Source, pickle: Member, budget: Budget) -> object:
    if pickle.nbytes > MAX_PICKLE_NBYTES:
        raise Unreadable(f"a pickle of {pickle.nbytes} bytes; at most {MAX_PICKLE_NBYTES} are read")
    return unpickle(source.read_at(pickle.start, pickle.nbytes), 0, budget)[0]


def add_view(name: str, view: View, storage_start: int, storage_nbytes: int, found: Found) -> None:
    """The tensor, if it is one run of bytes that lies in its storage."""
    itemsize = DTYPES[view.dtype].itemsize
    start = view.offset * itemsize
    if view.is_contiguous and start + view.numel * itemsize <= storage_nbytes:
        found.tensor(name, view.dtype, view.shape, storage_start + start)


def _sniffed_dtype(source: Source, member: Member) -> str | None:
    guess = sniff(source.read_at(member.start, min(member.nbytes, MAX_SAMPLE_NBYTES)))
    return guess.dtype if guess and guess.phase == 0 else None
