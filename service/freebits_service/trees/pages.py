"""How the files of a revision are cut into pages, and how a commit changes them. Pure.

A tree is the sorted list of its files, cut into pages where the content says so: a page ends after every path
whose CRC-32 is divisible by 64, or at 512 files. The cuts depend on nothing but the files, so two revisions
that differ in one file share all pages but about one, wherever the file lies.

Why not a table of files per commit: a repo of 10,000 files would write 10,000 rows for each changed file. Why
not git's tree per directory: checkpoints often lie in one flat folder, where it shares nothing, and a listing
over directories is a walk, not a scan. Pages cost about n/64 rows of spans plus 64 of entries per changed
file, a path is found by two index look-ups, and a recursive listing is one scan in the order of the answer.
"""

from __future__ import annotations

import hashlib
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..errors import InvalidPath, InvalidRequest, PathNotFound

PAGE_MEAN = 64
PAGE_MAX = 512


@dataclass(frozen=True, slots=True)
class Leaf:
    """A file: its path and its content."""

    path: str
    blob_id: int
    sha256: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class Span:
    """A page of an existing tree and its first path."""

    first_path: str
    page_id: int


@dataclass(frozen=True, slots=True)
class NewPage:
    """A page that may or may not be stored already; `digest` decides."""

    leaves: tuple[Leaf, ...]
    digest: str

    @property
    def first_path(self) -> str:
        """Where the page begins."""
        return self.leaves[0].path


LoadPages = Callable[[Sequence[int]], Mapping[int, Sequence[Leaf]]]
Changes = Mapping[str, Leaf | None]


def edit(spans: Sequence[Span], changes: Changes, load: LoadPages) -> list[Span | NewPage]:
    """The pages of the tree after `changes` (path -> file, or None to delete it).

    `spans` is the whole old tree in order, `load` gives the files of pages by their ids; only pages that a
    change touches are asked for. Raises PathNotFound for a deletion of nothing, InvalidPath when a file would
    also be a directory, InvalidRequest for no changes.
    """
    if not changes:
        raise InvalidRequest("a commit needs at least one operation")
    tree = _LoadedTree(spans, load)
    tree.preload({place for path, leaf in changes.items() for place in _places_to_see(path, leaf)})
    _check(tree, changes)
    return _rebuild(tree, changes)


def tree_digest(page_digests: Iterable[str]) -> str:
    """Names a tree by its pages."""
    return hashlib.sha256("\n".join(page_digests).encode()).hexdigest()


def leaves_digest(leaves: Iterable[Leaf]) -> str:
    """Names a page by its files."""
    lines = "".join(f"{leaf.sha256} {leaf.nbytes} {leaf.path}\n" for leaf in leaves)
    return hashlib.sha256(lines.encode()).hexdigest()


def ancestors(path: str) -> list[str]:
    """The directories a path lies in, outermost first."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _places_to_see(path: str, leaf: Leaf | None) -> list[str]:
    """Where in the tree one must look to decide about a change."""
    return [path] if leaf is None else [path, path + "/", *ancestors(path)]


class _LoadedTree:
    """The old tree with the pages that were needed so far."""

    def __init__(self, spans: Sequence[Span], load: LoadPages) -> None:
        self.spans = spans
        self._firsts = [span.first_path for span in spans]
        self._load = load
        self._pages: dict[int, Sequence[Leaf]] = {}

    def index_of(self, path: str) -> int:
        """Which page a path is in, or would be."""
        return max(0, bisect_right(self._firsts, path) - 1)

    def preload(self, paths: set[str]) -> None:
        """Fetch the pages of many paths in one go."""
        if self.spans:
            self._fetch(sorted({self.index_of(path) for path in paths}))

    def leaves(self, index: int) -> Sequence[Leaf]:
        """The files of a page."""
        self._fetch([index])
        return self._pages[index]

    def has(self, path: str) -> bool:
        """Whether the old tree has this file."""
        return bool(self.spans) and any(leaf.path == path for leaf in self.leaves(self.index_of(path)))

    def below(self, folder: str) -> Iterator[str]:
        """The files in a folder."""
        prefix, index = folder + "/", self.index_of(folder + "/")
        while index < len(self.spans):
            yield from (leaf.path for leaf in self.leaves(index) if leaf.path.startswith(prefix))
            index += 1
            if index < len(self.spans) and not self._firsts[index].startswith(prefix):
                return

    def _fetch(self, indices: Sequence[int]) -> None:
        wanted = [index for index in indices if index not in self._pages]
        if wanted:
            loaded = self._load([self.spans[index].page_id for index in wanted])
            self._pages.update((index, loaded[self.spans[index].page_id]) for index in wanted)


def _check(tree: _LoadedTree, changes: Changes) -> None:
    added = {path for path, leaf in changes.items() if leaf is not None}
    for path, leaf in changes.items():
        if leaf is None and not tree.has(path):
            raise PathNotFound(path, "the commit's parent")
    folders = {folder for path in added for folder in ancestors(path)}
    for folder in folders:
        if folder in added or (folder not in changes and tree.has(folder)):
            raise InvalidPath(f"{folder!r} would be a file and a directory at once", path=folder)
    for path in added - folders:
        _check_not_a_folder(tree, changes, path)


def _check_not_a_folder(tree: _LoadedTree, changes: Changes, path: str) -> None:
    if tree.has(path):
        return
    remaining = next((inside for inside in tree.below(path) if changes.get(inside, inside) is not None), None)
    if remaining is not None:
        raise InvalidPath(f"{path!r} is a directory; delete the files in it first", path=path, inside=remaining)


def _rebuild(tree: _LoadedTree, changes: Changes) -> list[Span | NewPage]:
    if not tree.spans:
        return list(_cut(sorted(_present(changes.values()), key=_by_path))[0])
    changed: dict[int, dict[str, Leaf | None]] = {}
    for path, leaf in changes.items():
        changed.setdefault(tree.index_of(path), {})[path] = leaf
    pages: list[Span | NewPage] = []
    rest: list[Leaf] = []
    for index, span in enumerate(tree.spans):
        if index not in changed and not rest:
            pages.append(span)
            continue
        whole, rest = _cut(rest + _apply(tree.leaves(index), changed.get(index, {})))
        pages.extend(whole[:-1] if rest else whole)
    return pages + list(_cut(rest)[0])


def _apply(leaves: Sequence[Leaf], changes: Changes) -> list[Leaf]:
    merged: dict[str, Leaf | None] = {leaf.path: leaf for leaf in leaves}
    merged.update(changes)
    return sorted(_present(merged.values()), key=_by_path)


def _present(leaves: Iterable[Leaf | None]) -> list[Leaf]:
    return [leaf for leaf in leaves if leaf is not None]


def _by_path(leaf: Leaf) -> str:
    return leaf.path


def _cut(leaves: Sequence[Leaf]) -> tuple[list[NewPage], list[Leaf]]:
    """Cut files into pages; the second value is the last page again when the content does not say that it ends."""
    pages: list[NewPage] = []
    current: list[Leaf] = []
    for leaf in leaves:
        current.append(leaf)
        if zlib.crc32(leaf.path.encode()) % PAGE_MEAN == 0 or len(current) == PAGE_MAX:
            pages.append(_page(current))
            current = []
    if current:
        pages.append(_page(current))
    return pages, current


def _page(leaves: Sequence[Leaf]) -> NewPage:
    return NewPage(tuple(leaves), leaves_digest(leaves))
