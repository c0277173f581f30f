"""Paths from a hostile hub stay inside the output folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from freebits.errors import UnsafePath
from freebits.output_folder import OutputFolder


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../up",
        "a/../../up",
        "a/./b",
        "a//b",
        "a/",
        ".git/hooks/post-checkout",
        "sub/.GIT/config",
        ".freebits/x.part",
        "C:\\windows\\x",
        "a\\..\\b",
        "a\0b",
        "a\nb",
        "..",
    ],
)
def test_refused_paths(tmp_path: Path, path: str) -> None:
    """Each of these would land outside, or in a place with a meaning of its own."""
    with pytest.raises(UnsafePath):
        OutputFolder(tmp_path).target(path)


@pytest.mark.parametrize(
    "path", ["model.safetensors", "a/b/c.bin", "..data", "ü/é.bin", ".gitattributes", "a b"]
)
def test_allowed_paths(tmp_path: Path, path: str) -> None:
    """Ordinary names, also odd ones, are allowed."""
    assert OutputFolder(tmp_path).target(path) == tmp_path / path


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    """`sub` leads elsewhere: nothing is written through it."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/sub").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(UnsafePath, match="link"):
        OutputFolder(tmp_path / "out").target("sub/file")


def test_a_link_in_place_of_the_file_is_replaced_not_followed(tmp_path: Path) -> None:
    """The file a link points to keeps its bytes."""
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "precious").write_bytes(b"keep")
    (out / "a").write_bytes(b"new")
    (out / "b").symlink_to(tmp_path / "precious")
    OutputFolder(out).copy("a", "b")
    assert (tmp_path / "precious").read_bytes() == b"keep"
    assert not (out / "b").is_symlink()
    assert (out / "b").read_bytes() == b"new"


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    """A rename over a folder would fail late; say so early."""
    (tmp_path / "model").mkdir()
    with pytest.raises(UnsafePath, match="is a folder"):
        OutputFolder(tmp_path).target("model")
