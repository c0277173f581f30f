"""Torch's format before 1.6: four pickles, then the storages, each behind its element count."""

from __future__ import annotations

from freebits_codecs.formats.layout import Found
from freebits_codecs.formats.pickle_machine import unpickle
from freebits_codecs.formats.source import Source, Unreadable
from freebits_codecs.formats.torch_objects import Inventory, take_inventory
from freebits_codecs.formats.torch_zip import MAX_PICKLE_NBYTES, add_view

NAME = "torch-legacy"

FIRST_READ_NBYTES = 64 << 10
"""The pickles do not say how long they are; four times as much is read until they fit."""

_MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
_COUNT_NBYTES = 8


def recognises(head: bytes) -> bool:
    return head[: len(_MAGIC)] == _MAGIC


def read(source: Source, found: Found) -> None:
    """Tensors by name and every storage, in file order."""
    root, keys, data_start = _pickles(source, found)
    inventory = take_inventory(root, found.budget)
    starts = _place(keys, inventory, data_start, found)
    for name, view in inventory.views:
        if view.storage.key in starts:
            add_view(name, view, starts[view.storage.key], view.storage.nbytes, found)


def _pickles(source: Source, found: Found) -> tuple[object, list[object], int]:
    """The pickled object, the keys of the storages in file order, and where the first storage starts."""
    nbytes = FIRST_READ_NBYTES
    while True:
        data = source.read_at(0, min(nbytes, source.nbytes))
        try:
            at = len(_MAGIC)
            for _ in range(2):  # protocol number, machine description
                _, at = unpickle(data, at, found.budget)
            root, at = unpickle(data, at, found.budget)
            keys, at = unpickle(data, at, found.budget)
        except Unreadable:
            if nbytes >= min(MAX_PICKLE_NBYTES, source.nbytes):
                raise
            nbytes *= 4
        else:
            return root, keys if isinstance(keys, list) else [], at


def _place(keys: list[object], inventory: Inventory, at: int, found: Found) -> dict[str, int]:
    """Where each storage's data starts; ends at one whose length nobody knows."""
    starts: dict[str, int] = {}
    for key in keys:
        storage = inventory.storages.get(key) if isinstance(key, str) else None
        if storage is None:
            break
        starts[storage.key] = at + _COUNT_NBYTES
        found.extent(inventory.dtypes[storage.key], at + _COUNT_NBYTES, storage.nbytes)
        at += _COUNT_NBYTES + storage.nbytes
    return starts
