"""What clients are told before they upload: what to leave out, how to send the rest."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from hf_client import HfClient, file_line

RULES = b"*.log\n!keep.log\nbuild/\n/top.txt\ndocs/**/x\n# a comment\n\\#odd\n"
IGNORED = {
    "a.log": True,
    "sub/a.log": True,
    "keep.log": False,
    "build/x/y.bin": True,
    "sub/build/y": True,
    "build": False,
    "top.txt": True,
    "sub/top.txt": False,
    "docs/q/r/x": True,
    "#odd": True,
    "# a comment": False,
}


@pytest.fixture
def repo(hf: HfClient) -> str:
    """A repo as a client makes it."""
    assert hf.create("m").status_code == 200
    return "admin/m"


def preupload(hf: HfClient, repo: str, sizes: dict[str, int], **body: Any) -> dict[str, dict[str, Any]]:
    """The answers by path."""
    files = [{"path": path, "size": size, "sample": ""} for path, size in sizes.items()]
    reply = hf.post(f"/api/models/{repo}/preupload/main", json={"files": files, **body})
    assert reply.status_code == 200, reply.text
    return {answer["path"]: answer for answer in reply.json()["files"]}


def test_rules_that_are_sent(hf: HfClient, repo: str) -> None:
    """As git reads them."""
    answers = preupload(hf, repo, dict.fromkeys(IGNORED, 5), gitIgnore=RULES.decode())
    assert {path: answer["shouldIgnore"] for path, answer in answers.items()} == IGNORED


def test_rules_of_the_branch(hf: HfClient, repo: str, encode_all: Callable[[], None]) -> None:
    """Where none are sent those at its root count, also once they are encoded; sent ones win."""
    assert hf.commit(repo, file_line(".gitignore", RULES + b"\n" * 9000)).status_code == 200
    for _ in range(2):
        answers = preupload(hf, repo, dict.fromkeys(IGNORED, 5))
        assert {path: answer["shouldIgnore"] for path, answer in answers.items()} == IGNORED
        encode_all()
    assert not any(
        each["shouldIgnore"] for each in preupload(hf, repo, dict.fromkeys(IGNORED, 5), gitIgnore="").values()
    )


def test_hostile_rules(hf: HfClient, repo: str) -> None:
    """Patterns on which backtracking would take years take no time; what is no pattern ignores nothing."""
    begun = time.monotonic()
    paths = dict.fromkeys(("a" * 200 + str(number) for number in range(200)), 5)
    for rules in ("*a" * 60 + "b\n", "**/a" * 60 + "b", "[" * 1000, "!" * 100, "\0\n\\", "*" * 60_000, "[a-\n[z-a]\n"):
        preupload(hf, repo, paths, gitIgnore=rules)
    assert time.monotonic() - begun < 30
    too_much = "\n".join(f"a{number}?*[a-z]*[0-9]*" for number in range(3000))
    refused = hf.post(f"/api/models/{repo}/preupload/main", json={"files": [], "gitIgnore": too_much})
    assert (refused.status_code, refused.json()["code"]) == (422, "INVALID_REQUEST")
    long = hf.post(f"/api/models/{repo}/preupload/main", json={"files": [], "gitIgnore": "x" * 70_000})
    assert long.status_code == 422


def test_short_files_that_are_there(hf: HfClient, repo: str) -> None:
    """Their id by git is told, so that clients leave them out when they have not changed."""
    assert hf.commit(repo, file_line("hello.txt", b"hello\n")).status_code == 200
    answer = preupload(hf, repo, {"hello.txt": 6, "new.txt": 6})
    assert answer["hello.txt"]["oid"] == "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object
    assert "oid" not in answer["new.txt"]
