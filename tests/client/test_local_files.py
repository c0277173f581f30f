"""Which files a push sends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from freebits.errors import UsageError
from freebits.local_files import find_files, selected


def names(path: Path, **patterns: list[str]) -> list[str]:
    """The repo paths of what would be pushed."""
    return [file.path for file in find_files(path, **patterns)]


def test_a_folder_without_version_control_and_caches(tmp_path: Path) -> None:
    """Hidden files such as .gitattributes are sent, .git and caches are not."""
    for name in [
        "b/model.bin",
        "a.txt",
        ".gitattributes",
        ".git/HEAD",
        ".cache/x",
        "b/__pycache__/y",
        ".freebits/z",
    ]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert names(tmp_path) == [".gitattributes", "a.txt", "b/model.bin"]


def test_a_single_file_is_named_after_itself(tmp_path: Path) -> None:
    """Its folder does not appear in the repo."""
    (tmp_path / "model.bin").write_text("x")
    assert names(tmp_path / "model.bin") == ["model.bin"]


def test_links_are_followed(tmp_path: Path) -> None:
    """Snapshots of other tools consist of links into a store of blobs."""
    (tmp_path / "blob").write_text("bytes")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot/model.bin").symlink_to(tmp_path / "blob")
    assert names(tmp_path / "snapshot") == ["model.bin"]


def test_a_link_to_a_folder_above_is_an_error(tmp_path: Path) -> None:
    """It would never end."""
    (tmp_path / "loop").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="leads back"):
        find_files(tmp_path)


def test_a_dangling_link_is_an_error(tmp_path: Path) -> None:
    """A file that cannot be read must not be left out silently."""
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        find_files(tmp_path)


def test_a_pipe_is_an_error(tmp_path: Path) -> None:
    """Only files and folders can be pushed."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        find_files(tmp_path)


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    """There is nothing to commit."""
    with pytest.raises(UsageError, match="nothing to push"):
        find_files(tmp_path)


@pytest.mark.parametrize(
    ("path", "include", "exclude", "expected"),
    [
        ("a/model.safetensors", [], [], True),
        ("a/model.safetensors", ["*.safetensors"], [], True),
        ("a/model.safetensors", ["a/*"], [], True),
        ("a/model.safetensors", ["a/"], [], True),
        ("a/model.safetensors", ["b/"], [], False),
        ("a/model.safetensors", ["model.*"], ["a/*"], False),
        ("a/model.safetensors", [], ["*.bin"], True),
        ("A.BIN", ["*.bin"], [], False),
    ],
)
def test_globs(path: str, include: list[str], exclude: list[str], expected: bool) -> None:
    """Whole path or last component, folders with a trailing slash, case matters."""
    assert selected(path, include, exclude) is expected
