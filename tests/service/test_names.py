"""What may be a name, a ref or a path, and that the API refuses the rest."""

from __future__ import annotations

from typing import Any

import pytest

from freebits_service.errors import InvalidName, InvalidPath
from freebits_service.names import check_path, check_ref_name, split_repo_name


@pytest.mark.parametrize("name", ["a/b", "A-1/b_2.c", "x" * 96 + "/" + "y" * 96, "_a/_b"])
def test_repo_names_that_are_taken(name: str) -> None:
    """Letters, digits, underscore, dot and dash."""
    assert "/".join(split_repo_name(name)) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a",
        "a/",
        "/b",
        "a/b/c",
        ".a/b",
        "-a/b",
        "a/.b",
        "a/..",
        "a/b..c",
        "a/b--c",
        "a/b.git",
        "a/b.",
        "a b/c",
        "a/b\n",
        "a/b\0",
        "ä/b",
        "a/\u0661",
        "x" * 97 + "/b",
        "a/b%2f",
        "a\\b/c",
    ],
)
def test_repo_names_that_are_refused(name: str) -> None:
    """Everything that is not plainly a name."""
    with pytest.raises(InvalidName):
        split_repo_name(name)


@pytest.mark.parametrize("name", ["main", "feature/x", "v1.0", "mantissa-3bit", "ünïcode", "a@b"])
def test_refs_that_are_taken(name: str) -> None:
    """What git takes."""
    assert check_ref_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "@",
        "/a",
        "a/",
        "a//b",
        ".a",
        "a/.b",
        "a..b",
        "a.lock",
        "a/b.lock/c",
        "a.",
        "-a",
        "a b",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[b",
        "a\\b",
        "a@{1}",
        "a\x7f",
        "a\0",
        "a\n",
        "0" * 40,
        "x" * 256,
    ],
)
def test_refs_that_are_refused(name: str) -> None:
    """What git refuses, and what reads as a commit id."""
    with pytest.raises(InvalidName):
        check_ref_name(name)


@pytest.mark.parametrize("path", ["a", "a/b/c.bin", "-x", ".gitattributes", "a b/ü.txt", "a..b/c...", "x" * 1024])
def test_paths_that_are_taken(path: str) -> None:
    """Ordinary relative paths."""
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/etc/passwd",
        "../x",
        "a/../b",
        "a/..",
        "..",
        ".",
        "./a",
        "a/./b",
        "a//b",
        "a/",
        "a\\b",
        "..\\x",
        "a\0b",
        "a\nb",
        "a\x7f",
        "a\x85b",
        "\u2028",
        "x" * 1025,
        "ü" * 513,
        "\ud800",
    ],
)
def test_paths_that_are_refused(path: str) -> None:
    """Anything that could leave the repo or confuse a file system."""
    with pytest.raises(InvalidPath):
        check_path(path)


@pytest.mark.parametrize("name", ["a", "../x", "a/b/c", "a/.hidden", "admin/x.git"])
def test_the_api_refuses_bad_repo_names(client: Any, name: str) -> None:
    """A bad name is 422 with a message that names it."""
    reply = client.post("/repos", json={"name": name})
    assert (reply.status_code, reply.json()["code"]) == (422, "INVALID_NAME")
    assert reply.json()["request_id"]


@pytest.mark.parametrize("path", ["../../etc/passwd", "/abs", "a//b", "a\\b", "nul\0"])
def test_the_api_refuses_bad_paths(client: Any, path: str) -> None:
    """A traversal path cannot be committed."""
    repo = client.new_repo()
    client.upload(repo, b"x")
    reply = client.commit(repo, {path: b"x"})
    code = "INVALID_REQUEST" if "\0" in path else "INVALID_PATH"  # no text of a request may hold a NUL
    assert (reply.status_code, reply.json()["code"]) == (422, code)


@pytest.mark.parametrize("quoted", ["..%2f..%2fetc%2fpasswd", "%2e%2e/secret", "a%00b", "a%5cb", "%ff"])
def test_the_api_refuses_quoted_traversal(client: Any, quoted: str) -> None:
    """Quoting hides nothing."""
    repo = client.new_repo()
    client.push(repo, {"a": b"x"})
    assert client.get(f"/repos/{repo}/resolve/main/{quoted}").status_code in {404, 422}


def test_a_branch_with_a_slash_is_one_segment(client: Any) -> None:
    """%2F in a revision stays inside of it."""
    repo = client.new_repo()
    client.push(repo, {"dir/a": b"x"}, branch="feature/one")
    assert client.resolve(repo, "dir/a", "feature/one").content == b"x"
    assert client.resolve(repo, "one/dir/a", "feature").json()["code"] == "REVISION_NOT_FOUND"


def test_unparsable_requests_are_400(client: Any) -> None:
    """JSON that is none is 400; JSON of the wrong shape is 422 and says where."""
    bad = client.post("/repos", content=b"{", headers={"Content-Type": "application/json"})
    assert (bad.status_code, bad.json()["code"]) == (400, "INVALID_JSON")
    wrong = client.post("/repos", json={"name": 5, "extra": 1})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "INVALID_REQUEST")
    assert {problem["where"] for problem in wrong.json()["detail"]["problems"]} == {"body.name", "body.extra"}
