"""Deleting and bringing back from the command line, against a real hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import freebits
from freebits import wire


@pytest.mark.usefixtures("link")
def test_a_repo_and_its_refs_come_back(cli: Any, home: Path) -> None:
    """Deleted, listed, its name taken by another, brought back under a new name, with a tag deleted before."""
    (home / "f").write_bytes(b"precious" * 100)
    assert cli("push", "f", "admin/gone")[0] == 0
    commit = json.loads(cli("ls", "admin/gone", "--refs", "--json")[1])[0]["commit"]
    with freebits.Hub() as hub:
        hub._driver.run(make_tag("admin/gone", commit))
    assert cli("rm", "admin/gone", "--tag", "v1", "--yes")[0] == 0
    assert "v1" in cli("ls", "admin/gone", "--deleted")[1]
    code, out, _ = cli("undelete", "admin/gone", "--tag", "v1")
    assert (code, commit in out) == (0, True)
    assert cli("rm", "admin/gone", "--repo", "--yes")[0] == 0
    assert cli("pull", "admin/gone", "-o", "nothing")[0] == 3
    assert "admin/gone" in cli("ls", "--deleted")[1]
    assert cli("push", "f", "admin/gone")[0] == 0
    code, _, complaint = cli("undelete", "admin/gone")
    assert code == 1
    assert "--as NEWNAME" in complaint
    assert "admin/back is back" in cli("undelete", "admin/gone", "--as", "back")[1]
    assert cli("pull", "admin/back", "--revision", "v1", "-o", "out")[0] == 0
    assert (home / "out/f").read_bytes() == b"precious" * 100
    assert cli("undelete", "admin/never")[0] == 3
    assert cli("undelete", "admin/back", "--branch", "never")[0] == 3


def make_tag(repo: str, commit: str) -> Any:
    """The flow that makes the tag ``v1``."""
    yield [wire.create_ref(repo, "tag", "v1", commit)]
