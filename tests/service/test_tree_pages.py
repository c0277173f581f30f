"""Trees against a plain dictionary, the sharing of their pages, and listings."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freebits_service.errors import InvalidPath, PathNotFound
from freebits_service.trees.pages import Leaf, NewPage, Span, ancestors, edit


class Pages:
    """Keeps pages by number, as the tables do, and counts what is loaded."""

    def __init__(self) -> None:
        self.stored: dict[int, tuple[Leaf, ...]] = {}
        self.numbers: dict[str, int] = {}
        self.loaded = 0

    def load(self, page_ids: Sequence[int]) -> Mapping[int, Sequence[Leaf]]:
        """The files of pages."""
        self.loaded += len(page_ids)
        return {page_id: self.stored[page_id] for page_id in page_ids}

    def store(self, pages: Sequence[Span | NewPage]) -> list[Span]:
        """The spans of a new tree."""
        spans = []
        for page in pages:
            if isinstance(page, NewPage):
                number = self.numbers.setdefault(page.digest, len(self.numbers) + 1)
                self.stored[number] = page.leaves
                spans.append(Span(page.first_path, number))
            else:
                spans.append(page)
        return spans

    def paths(self, spans: Sequence[Span]) -> list[str]:
        """All files of a tree."""
        return [leaf.path for span in spans for leaf in self.stored[span.page_id]]


def leaf(path: str, version: int = 0) -> Leaf:
    """A file."""
    return Leaf(path, version, f"{version:064x}", version)


NAMES = st.sampled_from([f"{a}{b}" for a in "abcdefgh-." for b in range(12)])
PATHS = st.lists(NAMES, min_size=1, max_size=2).map("/".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(PATHS, st.integers(0, 3), max_size=90), max_size=6))
def test_edits_equal_a_dictionary(rounds: list[dict[str, int]]) -> None:
    """However files come and go, the tree has exactly the files of a dictionary, and no other history shows."""
    pages, spans, model = Pages(), list[Span](), dict[str, int]()
    for changes in rounds:
        wanted: dict[str, Leaf | None] = {}
        for path, version in changes.items():
            if version == 0 and path in model:
                wanted[path] = None
            elif version and not _conflicts(path, {**model, **{p: 1 for p, v in wanted.items() if v}}):
                wanted[path] = leaf(path, version)
        if not wanted:
            continue
        spans = pages.store(edit(spans, wanted, pages.load))
        for path, new in wanted.items():
            if new is None:
                model.pop(path)
            else:
                model[path] = new.nbytes
        assert pages.paths(spans) == sorted(model)
        if model:
            at_once = pages.store(edit([], {path: leaf(path, v) for path, v in model.items()}, pages.load))
            assert at_once == spans


def _conflicts(path: str, model: Mapping[str, int]) -> bool:
    return any(folder in model for folder in ancestors(path)) or any(other.startswith(path + "/") for other in model)


def test_one_changed_file_shares_nearly_all_pages() -> None:
    """In a flat folder of 10,000 files a change writes about one page and loads about one."""
    pages = Pages()
    spans = pages.store(edit([], {f"shard-{n:05}": leaf(f"shard-{n:05}") for n in range(10_000)}, pages.load))
    assert len(spans) > 100
    pages.loaded = 0
    changed = edit(spans, {"shard-07777": leaf("shard-07777", 1)}, pages.load)
    assert sum(isinstance(page, NewPage) for page in changed) == 1
    assert pages.loaded <= 3


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"a": leaf("a"), "a/b": leaf("a/b")}, InvalidPath),
        ({"dir": leaf("dir")}, InvalidPath),
        ({"dir/x/y": leaf("dir/x/y")}, InvalidPath),
        ({"missing": None}, PathNotFound),
    ],
)
def test_a_path_is_a_file_or_a_directory(changes: dict[str, Leaf | None], error: type[Exception]) -> None:
    """Never both, and only what is there can be deleted."""
    pages = Pages()
    spans = pages.store(edit([], {"dir/x": leaf("dir/x")}, pages.load))
    with pytest.raises(error):
        edit(spans, changes, pages.load)


def test_a_directory_can_become_a_file() -> None:
    """When its files are deleted in the same commit, however many pages they fill."""
    pages = Pages()
    files = [f"dir/{n:04}" for n in range(1000)]
    spans = pages.store(edit([], {path: leaf(path) for path in files}, pages.load))
    changes: dict[str, Leaf | None] = {**dict.fromkeys(files), "dir": leaf("dir")}
    assert pages.paths(pages.store(edit(spans, changes, pages.load))) == ["dir"]
    with pytest.raises(InvalidPath):
        edit(spans, {**dict.fromkeys(files[:-1]), "dir": leaf("dir")}, pages.load)


@pytest.fixture
def listed(client: Any) -> Any:
    """A repo with 300 files in folders."""
    rng = random.Random(3)
    folders = ["", "a/", "a-b/", "a/b/", "a.b/", "z/y/x/"]
    files: dict[str, bytes | None] = {f"{rng.choice(folders)}f{n:03}": b"same" for n in range(300)}
    client.push(client.new_repo(), files)
    client.files = sorted(files)
    return client


@pytest.mark.parametrize("folder", ["", "a", "z/y"])
def test_a_recursive_listing_is_all_files_in_order(listed: Any, folder: str) -> None:
    """Page by page, without gaps or repetitions."""
    expected = [path for path in listed.files if not folder or path.startswith(folder + "/")]
    assert _walk(listed, folder, 1, recursive=True, most=20) == expected[:20]
    for limit in (7, 1000):
        assert _walk(listed, folder, limit, recursive=True) == expected


@pytest.mark.parametrize("folder", ["", "a", "z/y"])
def test_a_flat_listing_names_each_child_once(listed: Any, folder: str) -> None:
    """Files and folders of one level, in order."""
    prefix = folder + "/" if folder else ""
    inside = [path[len(prefix) :] for path in listed.files if path.startswith(prefix)]
    expected = sorted({prefix + path.partition("/")[0] + ("/" if "/" in path else "") for path in inside})
    for limit in (1, 7, 1000):
        assert _walk(listed, folder, limit, recursive=False) == [path.rstrip("/") for path in expected]


def _walk(client: Any, folder: str, limit: int, *, recursive: bool, most: int = 10**6) -> list[str]:
    paths: list[str] = []
    after: str | None = None
    while len(paths) < most:  # `most` is a multiple of `limit` where it matters
        query = {
            "path": folder,
            "limit": limit,
            "recursive": recursive,
            **({"after": after} if after else {}),
        }
        reply = client.get("/repos/admin/model/tree/main", params=query)
        assert reply.status_code == 200, reply.text
        paths += [item["path"] for item in reply.json()["items"]]
        after = reply.json()["next"]
        if after is None:
            break
    return paths


def test_listing_a_file_is_that_file(listed: Any) -> None:
    """And of nothing is 404."""
    path = listed.files[0]
    for recursive in (True, False):
        reply = listed.get("/repos/admin/model/tree/main", params={"path": path, "recursive": recursive})
        assert [item["path"] for item in reply.json()["items"]] == [path]
    assert listed.get("/repos/admin/model/tree/main", params={"path": "nope"}).json()["code"] == "PATH_NOT_FOUND"
