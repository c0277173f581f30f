"""The one check that whatever a reader finds must pass, and the limits all readers share."""

from __future__ import annotations

import io

import pytest

from freebits_codecs.formats import Extent, layout, read_layout, source
from freebits_codecs.formats.layout import Budget, Found
from freebits_codecs.formats.source import Cursor, FileSource, PartSource, Unreadable


def _extents(*runs: tuple[str, int, int], nbytes: int = 100) -> list[tuple[str, int, int]]:
    found = Found()
    for dtype, start, run_nbytes in runs:
        found.extent(dtype, start, run_nbytes)
    return [(e.dtype, e.start, e.stop) for e in found.layout("test", nbytes).extents]


def test_extents_are_sorted_and_kept_apart():
    """Whatever the order they were found in; neighbours of one type stay two extents."""
    assert _extents(("F32", 8, 8), ("F32", 0, 8)) == [("F32", 0, 8), ("F32", 8, 16)]


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([("F32", 0, 8), ("F32", 0, 8)], [("F32", 0, 8)]),
        ([("F32", 0, 8), ("F32", 4, 8)], [("F32", 0, 8)]),
        ([("F32", 0, 4), ("F16", 0, 8)], [("F16", 0, 8)]),
        ([("F32", 0, 0)], []),
        ([("F32", 0, 7)], [("F32", 0, 4)]),
        ([("F32", 96, 8)], [("F32", 96, 100)]),
        ([("F32", 98, 8)], []),
        ([("F32", 1000, 8)], []),
        ([("F32", -8, 8), ("F32", -4, 8)], []),
    ],
    ids=["shared", "overlap", "longer", "empty", "ragged", "cut", "cut to nothing", "outside", "negative"],
)
def test_extents_that_cannot_be(runs, expected):
    """Shared storages count once; overlapping, empty and outside ones go; a ragged end goes."""
    assert _extents(*runs) == expected


def test_tensors_that_cannot_be():
    """Outside the file, a negative dimension, too many dimensions, no name, a name too long, a name twice."""
    found = Found()
    found.tensor("outside", "F32", (4,), 90)
    found.tensor("negative", "F32", (-1, -4), 0)
    found.tensor("rank", "F32", (1,) * (layout.MAX_RANK + 1), 0)
    found.tensor("", "F32", (4,), 0)
    found.tensor("n" * (layout.MAX_NAME_LENGTH + 1), "F32", (4,), 0)
    found.tensor("good", "F32", (4,), 0)
    found.tensor("good", "F32", (2,), 0)
    assert [(t.name, t.shape) for t in found.layout("test", 100).tensors] == [("good", (4,))]


def test_nested_offsets_and_names():
    """A member's own offsets and names are moved to where the member lies."""
    found = Found()
    found.within(10, "member/").within(5, "").array("w", "U8", (4,), 1, 4)
    result = found.layout("test", 100)
    assert result.extents == (Extent("U8", 16, 20),)
    assert result.tensors[0].name == "member/w"


def test_tensor_limit(monkeypatch):
    """The reader is stopped where the list is full."""
    monkeypatch.setattr(layout, "MAX_TENSORS", 2)
    found = Found()
    found.extent("U8", 0, 1)
    found.extent("U8", 1, 1)
    with pytest.raises(Unreadable, match="more than 2"):
        found.extent("U8", 2, 1)


def test_step_and_name_limits():
    """Both are shared by everything nested in one file."""
    found = Found(budget=Budget(steps=2, names_length=5))
    found.within(0, "").budget.step(2)
    with pytest.raises(Unreadable, match="steps"):
        found.budget.step()
    found.tensor("abc", "U8", (1,), 0)
    with pytest.raises(Unreadable, match="characters"):
        found.within(0, "").tensor("def", "U8", (1,), 0)


class CountingFile(io.BytesIO):
    """Counts what is read."""

    nbytes_read = 0
    reads = 0

    def read(self, nbytes: int | None = -1, /) -> bytes:
        data = super().read(nbytes)
        self.nbytes_read += len(data)
        self.reads += 1
        return data


def test_read_limits(monkeypatch):
    """Going back to the file too often, or for too much, ends the reading."""
    monkeypatch.setattr(source, "MAX_READS", 3)
    scattered = FileSource(io.BytesIO(bytes(1 << 20)))
    for offset in range(0, 3 << 16, 1 << 16):
        scattered.read_at(offset, 1)
    with pytest.raises(Unreadable, match="3 reads"):
        scattered.read_at(1 << 19, 1)
    monkeypatch.setattr(source, "MAX_READ_NBYTES", 1000)
    with pytest.raises(Unreadable, match="1000 bytes"):
        FileSource(io.BytesIO(bytes(5000))).read_at(0, 2000)


def test_read_ahead_grows_only_where_reading_goes_on():
    """In order, a megabyte takes few reads; scattered, each takes the small window."""
    file = CountingFile(bytes(1 << 20))
    in_order = FileSource(file)
    for offset in range(0, 1 << 20, 512):
        in_order.read_at(offset, 512)
    assert file.reads < 20
    file.nbytes_read = 0
    scattered = FileSource(file)
    for offset in range(1 << 16, 1 << 20, 1 << 16):
        scattered.read_at(offset, 8)
    assert file.nbytes_read == 15 * source.MIN_WINDOW_NBYTES


@pytest.mark.parametrize(("offset", "nbytes"), [(-1, 4), (0, -1), (8, 4), (1 << 70, 1), (0, 1 << 70)])
def test_reads_outside(offset, nbytes):
    """Every source refuses bytes it does not have."""
    whole = FileSource(io.BytesIO(bytes(10)))
    for refusing in (whole, PartSource(whole, 2, 8)):
        with pytest.raises(Unreadable):
            refusing.read_at(offset, nbytes)
    with pytest.raises(Unreadable):
        Cursor(whole, 8, 10).skip(nbytes if nbytes > 2 else -1)


def test_only_directories_are_read():
    """A file of gigabytes costs as much as its header: the data of this sparse one is never touched."""

    class Sparse(CountingFile):
        def seek(self, offset: int, whence: int = 0, /) -> int:
            return 100 << 30 if whence == 2 else super().seek(offset, whence)

    header = b'{"w":{"dtype":"BF16","shape":[50,1073741823],"data_offsets":[0,107374182300]}}'
    file = Sparse(len(header).to_bytes(8, "little") + header.ljust(8192))
    found = read_layout(file)
    assert found is not None
    assert found.extents[0].stop == 107374182300 + 8 + len(header)
    assert file.nbytes_read <= 16384


def test_errors_of_the_file_itself_pass():
    """A disk that fails is not a file that nobody recognises."""

    class Failing(io.BytesIO):
        def read(self, nbytes: int | None = -1, /) -> bytes:
            raise OSError("disk on fire")

    with pytest.raises(OSError, match="disk on fire"):
        read_layout(Failing(bytes(100)))
