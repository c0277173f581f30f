"""The layout of the Hugging Face cache, and what a hostile hub cannot do in it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from freebits.errors import ProtocolError, UnsafePath
from freebits.hf_cache import CachedRepo, Snapshot, cache_folder
from freebits.part_file import PartFile

COMMIT = "c" * 40
DATA = b"weights"
SHA256 = hashlib.sha256(DATA).hexdigest()


def never() -> None:
    """Nobody stops."""


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    """A commit that a branch with a slash in its name is at."""
    return CachedRepo(tmp_path, "alice/m").at(COMMIT, "dev/x", "model")


def keep(snapshot: Snapshot, path: str) -> None:
    """As a pull does."""
    with PartFile(snapshot.parts, SHA256, len(DATA)) as part:
        part.append(DATA)
        snapshot.keep(part, path, SHA256)


def test_layout(snapshot: Snapshot, tmp_path: Path) -> None:
    """Bytes once, relative links to them, the commit of the branch, nothing else."""
    keep(snapshot, "sub/model.bin")
    snapshot.copy("sub/model.bin", "again.bin")
    snapshot.tidy()
    repo = tmp_path / "models--alice--m"
    found = {str(path.relative_to(repo)) for path in repo.rglob("*") if not path.is_dir()}
    inside = f"snapshots/{COMMIT}"
    assert found == {f"blobs/{SHA256}", f"{inside}/sub/model.bin", f"{inside}/again.bin", "refs/dev/x"}
    assert (repo / inside / "sub/model.bin").readlink() == Path(f"../../../blobs/{SHA256}")
    assert (repo / inside / "again.bin").read_bytes() == DATA
    assert (repo / "refs/dev/x").read_text() == COMMIT


def test_what_is_there_is_used(snapshot: Snapshot, tmp_path: Path) -> None:
    """Also for another commit, and not when it is damaged."""
    keep(snapshot, "model.bin")
    later = CachedRepo(tmp_path, "alice/m").at("d" * 40, "d" * 40, "model")
    assert later.holds("renamed.bin", SHA256, len(DATA), never)
    assert (later.root / "renamed.bin").read_bytes() == DATA
    later.tidy()
    assert [path.name for path in (tmp_path / "models--alice--m").glob("refs/*")] == []
    assert not later.holds("other", "e" * 64, 5, never)
    (snapshot.root / "model.bin").resolve().write_bytes(b"damaged")
    assert not later.holds("renamed.bin", SHA256, len(DATA), never)


def test_a_changed_file_gets_its_name(snapshot: Snapshot) -> None:
    """A link that leads elsewhere is replaced, not followed."""
    keep(snapshot, "a")
    victim = snapshot.root.parent / "victim"
    victim.write_bytes(b"keep me")
    (snapshot.root / "a").unlink()
    (snapshot.root / "a").symlink_to(victim)
    assert snapshot.holds("a", SHA256, len(DATA), never)
    assert ((snapshot.root / "a").read_bytes(), victim.read_bytes()) == (DATA, b"keep me")


@pytest.mark.parametrize("path", ["../a", "/a", "a/../../b", ".git/config", "a\\b"])
def test_paths_stay_inside(snapshot: Snapshot, path: str) -> None:
    """Whatever a hub says."""
    with pytest.raises(UnsafePath):
        snapshot.check(path)


def test_revisions_stay_inside(tmp_path: Path) -> None:
    """A branch is a file below refs."""
    with pytest.raises(UnsafePath):
        CachedRepo(tmp_path, "alice/m").at(COMMIT, "../../x", "model").tidy()


def test_kinds(tmp_path: Path) -> None:
    """Each has folders of its own; a hub cannot invent one."""
    assert CachedRepo(tmp_path, "a/b").at(COMMIT, "main", "dataset").parts == tmp_path / "datasets--a--b"
    with pytest.raises(ProtocolError):
        CachedRepo(tmp_path, "a/b").at(COMMIT, "main", "../x")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HF_HOME": "/b"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({"HOME": "/d"}, "/d/.cache/huggingface/hub"),
    ],
)
def test_where_it_lies(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str) -> None:
    """As the libraries themselves decide."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)
