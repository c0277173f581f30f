"""Commits as Hugging Face clients send them: again after a lost answer, too long, malformed."""

from __future__ import annotations

from typing import Any

import pytest
from hf_client import HfClient, file_line

from freebits_service.hf.commits import MAX_INLINE_NBYTES


@pytest.fixture
def repo(hf: HfClient) -> str:
    """A repo with a file in it."""
    assert hf.create("m").status_code == 200
    assert hf.commit("admin/m", file_line("a/1.txt", b"one"), file_line("a/2.txt", b"two")).status_code == 200
    return "admin/m"


def head_of(hf: HfClient, repo: str) -> str:
    """The commit that ``main`` is at."""
    head: str = hf.get(f"/api/models/{repo}").json()["sha"]
    return head


def deletion(key: str, path: str) -> dict[str, Any]:
    """A line that takes something away."""
    return {"key": key, "value": {"path": path}}


def test_the_same_commit_again_is_the_same_commit(hf: HfClient, repo: str) -> None:
    """Of files, of deletions, and on a parent that is not the head any more because the first one got through."""
    parent = head_of(hf, repo)
    lines = [file_line("b.txt", b"b"), deletion("deletedFile", "a/1.txt"), deletion("deletedFolder", "a/")]
    for options in ({"parentCommit": parent}, {"parentCommit": parent}, {}):
        reply = hf.commit(repo, *lines, summary="retried", **options)
        assert reply.status_code == 200, reply.text
    history = [commit["title"] for commit in hf.get(f"/api/models/{repo}/commits/main").json()]
    assert history == ["retried", "test", "initial commit"]
    assert reply.json()["commitOid"] == head_of(hf, repo)


def test_what_is_no_repetition_is_refused(hf: HfClient, repo: str) -> None:
    """A file that never was cannot be deleted, and an old parent stays an old parent."""
    parent = head_of(hf, repo)
    assert hf.commit(repo, file_line("c.txt", b"c"), summary="other").status_code == 200
    late = hf.commit(repo, file_line("c.txt", b"c"), summary="late", parentCommit=parent)
    assert (late.status_code, late.json()["code"]) == (412, "PARENT_NOT_HEAD")
    for line in (deletion("deletedFile", "never.txt"), deletion("deletedFolder", "never/")):
        gone = hf.commit(repo, line)
        assert (gone.status_code, gone.headers["x-error-code"]) == (404, "EntryNotFound")


def test_branches_are_made_first(hf: HfClient, repo: str) -> None:
    """Clients make the branch when they are told that there is none."""
    refused = hf.commit(repo, file_line("x", b"x"), revision="dev%2Fx")
    assert (refused.status_code, refused.headers["x-error-code"]) == (404, "RevisionNotFound")
    assert hf.post(f"/api/models/{repo}/branch/dev%2Fx").status_code == 200
    assert hf.commit(repo, file_line("x", b"x"), revision="dev%2Fx").status_code == 200
    assert hf.get(f"/{repo}/resolve/dev%2Fx/x").content == b"x"
    assert hf.get(f"/{repo}/resolve/main/x").status_code == 404


def test_pull_requests_are_not_offered(hf: HfClient, repo: str) -> None:
    """501, and the feature's name."""
    for path in ("commit/main", "preupload/main"):
        reply = hf.post(f"/api/models/{repo}/{path}?create_pr=1", json={"files": []})
        assert (reply.status_code, reply.json()["code"]) == (501, "NOT_OFFERED")
        assert "pull requests" in reply.headers["x-error-message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"key": "header"}',
        b'{"key": "header", "value": 3}',
        b'{"key": "header", "value": {"summary": ""}}',
        b'{"key": "file", "value": {"path": "a", "content": "YQ=="}}',
        b'{"key": "header", "value": {"summary": "x"}}\n{"key": "nothing", "value": {}}',
        b'{"key": "header", "value": {"summary": "x"}}\n{"key": "file", "value": {"path": "a", "content": "#", '
        b'"encoding": "base64"}}',
        b'{"key": "header", "value": {"summary": "x"}}\n{"key": "file", "value": {"path": "../a", "content": ""}}',
        b'{"key": "header", "value": {"summary": "x"}}\n{"key": "lfsFile", "value": {"path": "a", "oid": "1"}}',
        b'{"key": "header", "value": {"summary": "x"}}\n{"key": "lfsFile", "value": {"path": "a", "algo": "md5", '
        b'"oid": "%s"}}' % (b"a" * 64),
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_malformed_commits(hf: HfClient, repo: str, body: bytes) -> None:
    """4xx with a sentence, and nothing changed."""
    before = head_of(hf, repo)
    reply = hf.post(f"/api/models/{repo}/commit/main", content=body)
    assert 400 <= reply.status_code < 500, reply.text
    assert reply.json()["message"]
    assert head_of(hf, repo) == before


def test_a_long_file_inside_a_commit(hf: HfClient, repo: str) -> None:
    """As long as is allowed it is taken; beyond, the hub does not wait for its end."""
    assert hf.commit(repo, file_line("long.bin", bytes(MAX_INLINE_NBYTES))).status_code == 200
    reply = hf.commit(repo, file_line("longer.bin", bytes(2 * MAX_INLINE_NBYTES)))
    assert (reply.status_code, reply.json()["code"]) == (413, "TOO_LARGE")
    assert hf.get(f"/{repo}/resolve/main/longer.bin").status_code == 404


def test_files_of_many_commits_worth(hf: HfClient, repo: str) -> None:
    """Several batches are stored on the way; equal content is stored once."""
    contents = [bytes([number % 7]) * 3_000_000 for number in range(10)]
    lines = [file_line(f"many/{number}.bin", content) for number, content in enumerate(contents)]
    assert hf.commit(repo, *lines).status_code == 200
    for number, content in enumerate(contents):
        assert hf.get(f"/{repo}/resolve/main/many/{number}.bin").content == content
