"""One suite that every store must pass."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from freebits_service.blobs.local import LocalBlobStore
from freebits_service.blobs.memory import MemoryBlobStore
from freebits_service.blobs.store import BlobStore, ObjectNotFound

KEY = "blobs/raw/ab/" + "ab" * 32 + ".u-1"
CONTENT = bytes(range(256)) * 40


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    """An empty store of each kind."""
    makers: dict[str, Callable[[], BlobStore]] = {
        "local": lambda: LocalBlobStore(tmp_path / "objects"),
        "memory": MemoryBlobStore,
    }
    return makers[request.param]()


def stage(store: BlobStore, content: bytes, part_nbytes: int = 1000, order: int = 1) -> str:
    """Stage `content` in parts, in order or backwards."""
    handle = store.begin()
    for start in list(range(0, len(content), part_nbytes))[::order]:
        with store.write_part(handle, start // part_nbytes, start) as part:
            piece = content[start : start + part_nbytes]
            part.write([piece[:10], memoryview(piece)[10:], b""])
            part.finish()
    return handle


def put(store: BlobStore, key: str, content: bytes) -> None:
    """Make an object."""
    store.finish(stage(store, content), key)


@pytest.mark.parametrize("order", [1, -1])
def test_parts_in_any_order_make_the_object(store: BlobStore, order: int) -> None:
    """What was staged is what is read."""
    store.finish(stage(store, CONTENT, order=order), KEY)
    with store.open(KEY) as reader:
        assert reader.nbytes == len(CONTENT)
        assert reader.read_at(0, len(CONTENT)) == CONTENT
        assert reader.read_at(777, 1234) == CONTENT[777 : 777 + 1234]


def test_a_part_can_be_written_again(store: BlobStore) -> None:
    """The last writer of a part wins."""
    handle = stage(store, b"x" * 3000)
    with store.write_part(handle, 1, 1000) as part:
        part.write([b"y" * 1000])
        part.finish()
    with store.open_staged(handle) as staged:
        assert staged.read_at(0, 3000) == b"x" * 1000 + b"y" * 1000 + b"x" * 1000


def test_nothing_is_there_before_it_is_finished(store: BlobStore) -> None:
    """An object appears whole or not at all."""
    handle = stage(store, CONTENT)
    with pytest.raises(ObjectNotFound):
        store.open(KEY)
    assert list(store.list("blobs/")) == []
    assert [(found.name, found.nbytes) for found in store.list_staged()] == [(handle, len(CONTENT))]


def test_finishing_twice_is_success(store: BlobStore) -> None:
    """A finish whose answer was lost may be repeated."""
    handle = stage(store, CONTENT)
    store.finish(handle, KEY)
    store.finish(handle, KEY)
    assert store.stat(KEY).nbytes == len(CONTENT)
    assert list(store.list_staged()) == []


def test_finishing_nothing_is_an_error(store: BlobStore) -> None:
    """Neither staged nor there: the caller has to begin again."""
    with pytest.raises(ObjectNotFound):
        store.finish("0" * 32, KEY)


def test_an_empty_object_is_an_object(store: BlobStore) -> None:
    """No parts make zero bytes."""
    store.finish(store.begin(), KEY)
    with store.open(KEY) as reader:
        assert (reader.nbytes, reader.read_at(0, 0)) == (0, b"")


def test_reading_beyond_the_end_is_an_error(store: BlobStore) -> None:
    """A short read is never passed as a full one."""
    put(store, KEY, CONTENT)
    with store.open(KEY) as reader, pytest.raises(EOFError):
        reader.read_at(len(CONTENT) - 5, 6)


def test_an_open_object_outlives_its_deletion(store: BlobStore) -> None:
    """A reader reads on; a new one finds nothing."""
    put(store, KEY, CONTENT)
    with store.open(KEY) as reader:
        store.delete(KEY)
        store.delete(KEY)
        assert reader.read_at(0, len(CONTENT)) == CONTENT
    with pytest.raises(ObjectNotFound):
        store.open(KEY)
    with pytest.raises(ObjectNotFound):
        store.stat(KEY)


def test_an_aborted_upload_leaves_nothing(store: BlobStore) -> None:
    """Abort may be repeated; writing afterwards fails."""
    handle = stage(store, CONTENT)
    store.abort(handle)
    store.abort(handle)
    assert list(store.list_staged()) == []
    with pytest.raises(ObjectNotFound):
        store.write_part(handle, 0, 0)
    with pytest.raises(ObjectNotFound):
        store.open_staged(handle)


def test_the_age_of_an_object_begins_when_it_is_finished(store: BlobStore) -> None:
    """The collector may trust the age: a slow upload does not make an old object."""
    before = datetime.now(UTC) - timedelta(seconds=1)
    put(store, KEY, CONTENT)
    assert before <= store.stat(KEY).modified_at <= datetime.now(UTC) + timedelta(seconds=1)


def test_listing_finds_what_begins_with_a_prefix(store: BlobStore) -> None:
    """Prefixes may end in the middle of a name."""
    keys = [f"blobs/raw/{name[:2]}/{name}.u-1" for name in ("aa11", "aa22", "ab33")]
    for key in keys:
        put(store, key, b"1")
    assert sorted(found.name for found in store.list("blobs/")) == keys
    assert sorted(found.name for found in store.list("blobs/raw/aa/aa2")) == keys[1:2]
    assert list(store.list("blobs/container/")) == []


def test_many_small_buffers_are_one_part(store: BlobStore) -> None:
    """More buffers than one system call takes."""
    handle = store.begin()
    with store.write_part(handle, 0, 0) as part:
        part.write([bytes([n % 256]) for n in range(3000)])
        part.finish()
    with store.open_staged(handle) as staged:
        assert staged.read_at(0, 3000) == bytes(n % 256 for n in range(3000))
