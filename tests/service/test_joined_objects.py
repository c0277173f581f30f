"""Objects of a folder that are made of ranges of others, as a store's reader and lister see them."""

from __future__ import annotations

import errno
import os
import random
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freebits_service.blobs.keys import new_raw_key
from freebits_service.blobs.local import LocalBlobStore
from freebits_service.blobs.store import ObjectNotFound, Range
from freebits_service.errors import StorageFull

SOURCES = [random.Random(seed).randbytes(1000 + seed) for seed in range(3)]
KEY = new_raw_key("cd" * 32, "u-2")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalBlobStore:
    """One with some objects to make others of."""
    made = LocalBlobStore(tmp_path_factory.mktemp("objects"))
    for seed, content in enumerate(SOURCES):
        put(made, source_key(seed), content)
    return made


def put(store: LocalBlobStore, key: str, content: bytes) -> None:
    store.begin(key)
    with store.write_part(key, 0, 0) as part:
        part.write([content])
        part.finish()
    store.finish(key)


def source_key(seed: int) -> str:
    return f"blobs/xorb/ab/{seed:064}.x-1"


def ranges_of(places: list[tuple[int, int, int]]) -> tuple[list[Range], bytes]:
    """Ranges, and what they are when joined."""
    ranges = [Range(source_key(seed), start, stop) for seed, start, stop in places]
    return ranges, b"".join(SOURCES[seed][start:stop] for seed, start, stop in places)


@st.composite
def places(draw: st.DrawFn) -> tuple[int, int, int]:
    seed = draw(st.integers(0, 2))
    start = draw(st.integers(0, len(SOURCES[seed])))
    return seed, start, draw(st.integers(start, len(SOURCES[seed])))


@settings(deadline=None)
@given(st.lists(places(), min_size=1, max_size=6), st.data())
def test_any_ranges(store: LocalBlobStore, chosen: list[tuple[int, int, int]], data: st.DataObject) -> None:
    """Empty ones, the same twice, one behind another; read anywhere, and never beyond the end."""
    key = new_raw_key("ef" * 32, "u-3")
    ranges, content = ranges_of(chosen)
    assert store.join(key, ranges)
    with store.open(key) as reader:
        assert reader.nbytes == store.stat(key).nbytes == len(content)
        start = data.draw(st.integers(0, len(content)))
        stop = data.draw(st.integers(start, len(content)))
        assert reader.read_at(start, stop - start) == content[start:stop]
        with pytest.raises(EOFError):
            reader.read_at(start, len(content) - start + 1)
    store.delete(key)


def test_from_beginning_to_end(tmp_path: Path) -> None:
    """It is listed once, outlives what it is made of, and is gone when it is deleted, for who has it open, too."""
    store = LocalBlobStore(tmp_path)
    for seed, content in enumerate(SOURCES):
        put(store, source_key(seed), content)
    ranges, content = ranges_of([(0, 10, 900), (2, 0, 1002), (0, 0, 10)])
    assert store.join(KEY, ranges)
    for seed in range(3):
        store.delete(source_key(seed))
    (listed,) = store.list("blobs/")
    assert (listed.name, listed.nbytes) == (KEY, len(content))
    assert abs(datetime.now(UTC) - listed.modified_at) < timedelta(minutes=1)
    assert not list(store.list_staged())
    with store.open(KEY) as reader:
        assert reader.read_at(0, reader.nbytes) == content
        store.delete(KEY)
        with pytest.raises(ObjectNotFound):
            reader.read_at(0, 1)
    for look in (store.open, store.stat):
        with pytest.raises(ObjectNotFound):
            look(KEY)
    store.delete(KEY)
    assert not list(store.list("blobs/"))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_a_crash_left_is_staged_and_can_be_dropped(store: LocalBlobStore, tmp_path: Path) -> None:
    """Half a join, and half a deletion, lie among what is staged."""
    store = LocalBlobStore(tmp_path)
    put(store, source_key(0), SOURCES[0])
    assert store.join(KEY, ranges_of([(0, 0, 9)])[0])
    shutil.move(tmp_path / f"{KEY}.joined", tmp_path / "staging" / KEY.replace("/", "%"))
    assert [found.key for found in store.list_staged()] == [KEY]
    store.abort(KEY)
    assert not list(store.list_staged())


def test_ranges_of_what_is_not_there(store: LocalBlobStore) -> None:
    """Nothing has happened, and the next one succeeds."""
    gone = Range(source_key(7), 0, 1)
    assert not store.join(KEY, [*ranges_of([(0, 0, 9)])[0], gone])
    assert not list(store.list_staged())
    assert store.join(KEY, ranges_of([(0, 0, 9)])[0])
    store.delete(KEY)


@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_a_damaged_one_is_never_other_bytes(store: LocalBlobStore, harm: str) -> None:
    """Whatever was done to its files by hand."""
    assert store.join(KEY, ranges_of([(1, 0, 500), (2, 0, 500)])[0])
    with store.open(KEY) as reader:
        (link,) = store._root.glob("blobs/raw/cd/*.joined/1")
        link.unlink()
        if harm == "cut":
            link.write_bytes(b"short")
        with pytest.raises((EOFError, ObjectNotFound)):
            reader.read_at(400, 200)
    store.delete(KEY)


def test_a_full_disk_is_told_and_is_no_lack_of_links(store: LocalBlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left of the attempt, and the next one is made."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", full)
        with pytest.raises(StorageFull):
            store.join(KEY, ranges_of([(0, 0, 9)])[0])
    assert not list(store.list_staged())
    assert store.join(KEY, ranges_of([(0, 0, 9)])[0])
    store.delete(KEY)
