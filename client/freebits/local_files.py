"""Which local files a push sends, and under which names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from freebits.errors import UsageError

SKIPPED_NAMES = frozenset(
    {".git", ".hg", ".svn", ".freebits", ".cache", ".ipynb_checkpoints", ".DS_Store", "__pycache__"}
)
"""Folders and files that are never pushed: version control, caches, and our own download state."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file to push: `source` on disk, `path` in the repo (posix), and what tells that it changed."""

    source: Path
    path: str
    nbytes: int
    mtime_ns: int


def selected(path: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """True when posix `path` matches one of `include` (empty: everything) and none of `exclude`.

    Globs match the whole path or its last component; a pattern ending in "/" stands for a folder.

    >>> selected("a/model.safetensors", ["*.safetensors"], [])
    True
    >>> selected("a/model.safetensors", [], ["a/"])
    False
    """
    wanted = not include or any(_matches(path, pattern) for pattern in include)
    return wanted and not any(_matches(path, pattern) for pattern in exclude)


def find_files(path: Path, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> list[LocalFile]:
    """The files a push of `path` (a file or a folder) sends, sorted by their path in the repo.

    Links to files and folders are followed, because snapshots of other tools consist of links.
    Raises FileNotFoundError when `path` is absent, UsageError when there is nothing to push.
    """
    if path.is_dir():
        found = [_local(source, source.relative_to(path).as_posix()) for source in _walk(path, set())]
    else:
        found = [_local(path, path.name)]
    files = sorted((f for f in found if selected(f.path, include, exclude)), key=lambda f: f.path)
    if not files:
        raise UsageError(f"{path}: nothing to push; the folder is empty or --include/--exclude leave nothing")
    return files


def _matches(path: str, pattern: str) -> bool:
    if pattern.endswith("/"):
        return path.startswith(pattern) or fnmatchcase(path, pattern + "*")
    return fnmatchcase(path, pattern) or fnmatchcase(path.rpartition("/")[2], pattern)


def _walk(folder: Path, above: set[Path]) -> Iterator[Path]:
    real = folder.resolve()
    if real in above:
        raise UsageError(f"{folder}: a link leads back to a folder that contains it; remove it or --exclude it")
    for name in sorted(os.listdir(folder)):
        if name in SKIPPED_NAMES:
            continue
        child = folder / name
        if child.is_dir():
            yield from _walk(child, above | {real})
        else:
            yield child


def _local(source: Path, path: str) -> LocalFile:
    if not source.is_file() and source.exists():
        raise UsageError(f"{source}: neither a file nor a folder; remove it from the folder or --exclude it")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{path!r}: the name is not UTF-8; rename the file") from None
    stat = source.stat()
    return LocalFile(source, path, stat.st_size, stat.st_mtime_ns)
