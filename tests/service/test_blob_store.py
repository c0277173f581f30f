"""One suite that every store must pass."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from freebits_service.blobs.keys import new_raw_key
from freebits_service.blobs.local import LocalBlobStore
from freebits_service.blobs.memory import MemoryBlobStore
from freebits_service.blobs.s3 import S3BlobStore
from freebits_service.blobs.store import BlobStore, ObjectNotFound
from freebits_service.settings import Settings

ORIGIN = "u-1"
KEY = new_raw_key("ab" * 32, ORIGIN)


@pytest.fixture(params=["local", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    """An empty store of each kind."""
    makers: dict[str, Callable[[], BlobStore]] = {
        "local": lambda: LocalBlobStore(tmp_path / "objects"),
        "memory": MemoryBlobStore,
        "s3": lambda: S3BlobStore(Settings(**request.getfixturevalue("s3_place"))),
    }
    return makers[request.param]()


@pytest.fixture
def part_nbytes(store: BlobStore) -> int:
    """As small as the store takes them."""
    return max(1000, store.limits.least_part_nbytes)


@pytest.fixture
def content(part_nbytes: int) -> bytes:
    """Two parts and some bytes."""
    return secrets.token_bytes(2 * part_nbytes + 777)


def stage(store: BlobStore, content: bytes, part_nbytes: int = 0, key: str = KEY, order: int = 1) -> str:
    """Stage `content` in parts, in order or backwards; the key."""
    store.begin(key)
    part_nbytes = part_nbytes or max(1, len(content))
    for start in list(range(0, len(content), part_nbytes))[::order]:
        write(store, key, start // part_nbytes, start, content[start : start + part_nbytes])
    return key


def write(store: BlobStore, key: str, number: int, offset: int, piece: bytes) -> None:
    """Write one part."""
    with store.write_part(key, number, offset) as part:
        part.write([piece[:10], memoryview(piece)[10:], b""])
        part.finish()


def put(store: BlobStore, key: str, content: bytes) -> None:
    """Make an object."""
    store.finish(stage(store, content, key=key))


def read(store: BlobStore, key: str) -> bytes:
    """All of an object."""
    with store.open(key) as reader:
        return reader.read_at(0, reader.nbytes)


@pytest.mark.parametrize("order", [1, -1])
def test_parts_in_any_order_make_the_object(store: BlobStore, content: bytes, part_nbytes: int, order: int) -> None:
    """What was staged is what is read."""
    store.finish(stage(store, content, part_nbytes, order=order))
    with store.open(KEY) as reader:
        assert reader.nbytes == len(content)
        assert reader.read_at(0, len(content)) == content
        assert reader.read_at(777, 1234) == content[777 : 777 + 1234]


def test_a_part_can_be_written_again(store: BlobStore, content: bytes, part_nbytes: int) -> None:
    """The last writer of a part wins."""
    key = stage(store, content, part_nbytes)
    write(store, key, 1, part_nbytes, b"y" * part_nbytes)
    store.finish(key)
    assert read(store, key) == content[:part_nbytes] + b"y" * part_nbytes + content[2 * part_nbytes :]


def test_a_part_that_is_not_finished_does_not_count(store: BlobStore, content: bytes, part_nbytes: int) -> None:
    """A connection that broke leaves the part to be sent again."""
    key = stage(store, content[:part_nbytes], part_nbytes)
    with store.write_part(key, 1, part_nbytes) as part:
        part.write([b"half"])
    write(store, key, 1, part_nbytes, content[part_nbytes:])
    store.finish(key)
    assert read(store, key) == content


def test_nothing_is_there_before_it_is_finished(store: BlobStore, content: bytes, part_nbytes: int) -> None:
    """An object appears whole or not at all."""
    key = stage(store, content, part_nbytes)
    with pytest.raises(ObjectNotFound):
        store.open(key)
    assert list(store.list("blobs/")) == []
    [staged] = store.list_staged()
    assert staged.key == key
    assert abs(staged.modified_at - datetime.now(UTC)) < timedelta(minutes=5)


def test_the_store_tells_which_parts_it_has_or_that_it_cannot(
    store: BlobStore, content: bytes, part_nbytes: int
) -> None:
    """By number and size; never of an object that is not in progress."""
    key = stage(store, content[: part_nbytes + 10], part_nbytes)
    assert store.staged_parts(key) in (None, {0: part_nbytes, 1: 10})
    store.finish(key)
    with pytest.raises(ObjectNotFound):
        store.staged_parts(key)


def test_finishing_twice_is_success(store: BlobStore, content: bytes, part_nbytes: int) -> None:
    """A finish whose answer was lost may be repeated."""
    key = stage(store, content, part_nbytes)
    store.finish(key)
    store.finish(key)
    assert store.stat(key).nbytes == len(content)
    assert list(store.list_staged()) == []


def test_finishing_nothing_is_an_error(store: BlobStore) -> None:
    """Neither staged nor there: the caller has to begin again."""
    with pytest.raises(ObjectNotFound):
        store.finish(KEY)


def test_a_finished_object_can_be_opened_again_for_parts(store: BlobStore, content: bytes, part_nbytes: int) -> None:
    """One part was wrong: it is replaced under another key, the others stay."""
    wrong = content[:part_nbytes] + bytes(part_nbytes) + content[2 * part_nbytes :]
    store.finish(stage(store, wrong, part_nbytes))
    new_key = new_raw_key("ab" * 32, ORIGIN)
    store.reopen(KEY, new_key, part_nbytes)
    store.delete(KEY)
    write(store, new_key, 1, part_nbytes, content[part_nbytes : 2 * part_nbytes])
    store.finish(new_key)
    assert read(store, new_key) == content
    with pytest.raises(ObjectNotFound):
        store.reopen(KEY, new_raw_key("ab" * 32, ORIGIN), part_nbytes)


def test_an_empty_object_is_an_object(store: BlobStore) -> None:
    """No parts make zero bytes."""
    put(store, KEY, b"")
    store.finish(KEY)
    with store.open(KEY) as reader:
        assert (reader.nbytes, reader.read_at(0, 0)) == (0, b"")
    assert list(store.list_staged()) == []


def test_an_object_is_read_in_sequence_and_here_and_there(store: BlobStore, content: bytes) -> None:
    """Whatever the order of the reads, they are slices."""
    put(store, KEY, content)
    spans = [(start, min(start + 400, len(content))) for start in range(0, 2400, 400)]
    spans += [(2390, 2500), (0, 1), (1, 2), (2, 1000), (1000, len(content)), (500, 600)]
    with store.open(KEY) as reader:
        for start, stop in spans:
            assert reader.read_at(start, stop - start) == content[start:stop]


def test_reading_beyond_the_end_is_an_error(store: BlobStore) -> None:
    """A short read is never passed as a full one."""
    put(store, KEY, b"0123456789")
    with store.open(KEY) as reader, pytest.raises(EOFError):
        reader.read_at(5, 6)


def test_a_deleted_object_is_read_on_or_absent(store: BlobStore) -> None:
    """An open reader gives the same bytes or none; a new one finds nothing."""
    put(store, KEY, b"0123456789")
    with store.open(KEY) as reader:
        store.delete(KEY)
        store.delete(KEY)
        try:
            assert reader.read_at(0, 10) == b"0123456789"
        except ObjectNotFound:
            assert isinstance(store, S3BlobStore)
    with pytest.raises(ObjectNotFound):
        store.open(KEY)
    with pytest.raises(ObjectNotFound):
        store.stat(KEY)


def test_an_aborted_object_leaves_nothing(store: BlobStore) -> None:
    """Abort may be repeated; writing afterwards fails."""
    key = stage(store, b"0123456789")
    store.abort(key)
    store.abort(key)
    assert list(store.list_staged()) == []
    with pytest.raises(ObjectNotFound):
        store.write_part(key, 0, 0)
    with pytest.raises(ObjectNotFound):
        store.staged_parts(key)
    with pytest.raises(ObjectNotFound):
        store.finish(key)


def test_an_object_tells_its_age(store: BlobStore) -> None:
    """By the store's clock, which may count whole seconds."""
    before = datetime.now(UTC) - timedelta(seconds=2)
    put(store, KEY, b"1")
    assert before <= store.stat(KEY).modified_at <= datetime.now(UTC) + timedelta(seconds=2)


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
    store.begin(KEY)
    with store.write_part(KEY, 0, 0) as part:
        part.write([bytes([n % 256]) for n in range(3000)])
        part.finish()
    store.finish(KEY)
    assert read(store, KEY) == bytes(n % 256 for n in range(3000))


def test_a_living_store_says_so(store: BlobStore) -> None:
    """No error is the sign of life."""
    store.check()
    assert store.free_nbytes() is None or store.free_nbytes() > 0  # type: ignore[operator]
