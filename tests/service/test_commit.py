"""Commits, refs and history through the API."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from freebits_service.repos import operations


def test_a_commit_on_a_moved_head_is_refused(client: Any) -> None:
    """The loser of the compare-and-set learns where the branch is."""
    repo = client.new_repo()
    first = client.push(repo, {"a": b"1"})
    second = client.push(repo, {"a": b"2"}, first)
    reply = client.commit(repo, {"a": b"1"}, first)
    assert (reply.status_code, reply.json()["code"]) == (409, "HEAD_MOVED")
    assert reply.json()["detail"]["head"] == second
    again = client.commit(repo, {"a": b"1"}, None)
    assert again.json()["detail"]["head"] == second
    assert client.resolve(repo, "a").content == b"2"


def test_of_commits_at_once_one_wins(client: Any) -> None:
    """Eight racing commits on one parent: one 201, seven 409, one line of history."""
    repo = client.new_repo()
    base = client.push(repo, {"a": b"0"})
    client.upload(repo, b"1")
    replies: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n: replies.append(client.commit(repo, {f"f{n}": b"1"}, base).status_code))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(replies) == [201] + [409] * 7
    assert len(client.get(f"/repos/{repo}/commits/main").json()["items"]) == 2


def test_history_is_paged_newest_first(client: Any) -> None:
    """Each page goes on where the one before ended; old revisions stay readable."""
    repo, parent, ids = client.new_repo(), None, []
    for n in range(7):
        parent = client.push(repo, {"a": b"%d" % n}, parent, message=f"m{n}", description="d")
        ids.append(parent)
    seen, after = [], None
    while True:
        query = {"limit": 3, **({"after": after} if after else {})}
        page = client.get(f"/repos/{repo}/commits/main", params=query).json()
        seen += page["items"]
        after = page["next"]
        if after is None:
            break
    assert [item["id"] for item in seen] == ids[::-1]
    assert [item["parent"] for item in seen] == [*ids[-2::-1], None]
    assert seen[0]["message"] == "m6"
    assert seen[0]["author"] == "admin"
    assert client.resolve(repo, "a", ids[2]).content == b"2"


def test_files_are_added_replaced_and_deleted(client: Any) -> None:
    """The tree is what the operations say."""
    repo = client.new_repo()
    first = client.push(repo, {"a": b"1", "d/b": b"2", "d/c": b"3"})
    client.push(repo, {"a": None, "d/b": b"4", "e": b"1"}, first)
    items = client.get(f"/repos/{repo}/tree/main", params={"recursive": True}).json()["items"]
    assert [item["path"] for item in items] == ["d/b", "d/c", "e"]
    assert client.resolve(repo, "d/b").content == b"4"
    gone = client.resolve(repo, "a")
    assert (gone.status_code, gone.json()["code"]) == (404, "PATH_NOT_FOUND")


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"nope": None}, "PATH_NOT_FOUND"),
        ({}, "INVALID_REQUEST"),
        ({"a/x": b"1"}, "INVALID_PATH"),
        ({"new": b"never uploaded"}, "BLOB_MISSING"),
    ],
)
def test_operations_that_cannot_be(client: Any, files: dict[str, Any], code: str) -> None:
    """Each is refused and leaves the branch where it was."""
    repo = client.new_repo()
    head = client.push(repo, {"a": b"1"})
    assert client.commit(repo, files, head).json()["code"] == code
    assert client.get(f"/repos/{repo}").json()["head"] == head


def test_a_wrong_size_is_refused(client: Any) -> None:
    """The size in a commit must be that of the content."""
    repo = client.new_repo()
    digest = client.upload(repo, b"12345")
    operation = {"op": "add", "path": "a", "sha256": digest, "nbytes": 6}
    body = {"branch": "main", "parent": None, "message": "m", "operations": [operation]}
    reply = client.post(f"/repos/{repo}/commits", json=body)
    assert (reply.status_code, reply.json()["code"]) == (422, "SIZE_MISMATCH")


def test_too_many_operations_are_refused(make_hub: Any, make_client: Any) -> None:
    """The limit is a setting; so is the size of a JSON body."""
    client = make_client(make_hub(max_commit_operations=3, max_json_nbytes=2000))
    repo = client.new_repo()
    client.upload(repo, b"1")
    reply = client.commit(repo, {f"f{n}": b"1" for n in range(4)})
    assert (reply.status_code, reply.json()["code"]) == (413, "TOO_LARGE")
    long = client.commit(repo, {"f": b"1"}, description="x" * 3000)
    assert (long.status_code, long.json()["code"]) == (413, "TOO_LARGE")
    chunked = client.post(
        "/repos", content=iter([b"x" * 1500, b"x" * 1500]), headers={"Content-Type": "application/json"}
    )
    assert (chunked.status_code, chunked.json()["code"]) == (413, "TOO_LARGE")


def test_branches_and_tags(client: Any) -> None:
    """Refs are made at revisions, tags do not move, the default branch stays."""
    repo = client.new_repo()
    first = client.push(repo, {"a": b"1"})
    make = lambda kind, name, target: client.post(  # noqa: E731
        f"/repos/{repo}/refs", json={"type": kind, "name": name, "target": target}
    )
    assert make("tag", "v1", "main").json() == {"type": "tag", "name": "v1", "commit": first}
    assert make("branch", "dev", first).status_code == 201
    taken = make("branch", "v1", "main")
    assert (taken.status_code, taken.json()["code"]) == (409, "REF_EXISTS")
    assert make("tag", "v2", "nowhere").json()["code"] == "REVISION_NOT_FOUND"
    assert client.commit(repo, {"b": b"1"}, first, branch="v1").json()["code"] == "REF_EXISTS"
    second = client.commit(repo, {"b": b"1"}, first, branch="dev").json()["id"]
    refs = client.get(f"/repos/{repo}/refs").json()["items"]
    assert {ref["name"]: ref["commit"] for ref in refs} == {"main": first, "v1": first, "dev": second}
    assert client.request("DELETE", f"/repos/{repo}/refs/branch/main").json()["code"] == "DEFAULT_BRANCH"
    assert client.request("DELETE", f"/repos/{repo}/refs/branch/dev").status_code == 204
    assert client.request("DELETE", f"/repos/{repo}/refs/branch/dev").status_code == 404
    assert client.resolve(repo, "b", second).content == b"1"


def test_a_repo_that_exists_is_shown(client: Any) -> None:
    """409 carries the repo, so that a push may go on with it."""
    client.push(client.new_repo(), {"a": b"1"})
    reply = client.post("/repos", json={"name": "admin/model"})
    assert (reply.status_code, reply.json()["code"]) == (409, "REPO_EXISTS")
    assert reply.json()["detail"]["repo"] == client.get("/repos/admin/model").json()


def test_a_deleted_repo_is_gone_however_long_its_history(client: Any) -> None:
    """And its name is free again."""
    repo, parent = client.new_repo(), None
    for n in range(30):
        parent = client.push(repo, {"a": b"%d" % n}, parent)
    assert client.request("DELETE", f"/repos/{repo}").status_code == 204
    assert client.get(f"/repos/{repo}").status_code == 404
    assert client.new_repo() == repo


def test_what_a_browser_gets_never_runs(client: Any) -> None:
    """Uploaded HTML is a download of bytes; caching follows how it was asked for."""
    repo = client.new_repo()
    commit = client.push(repo, {"evil.html": b"<script>", "a b'\".svg": b"<svg/>", "c.json": b"{}"})
    for path in ("evil.html", "a b'\".svg"):
        headers = client.resolve(repo, path).headers
        assert headers["content-type"] == "application/octet-stream"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-disposition"].startswith("attachment")
        assert "sandbox" in headers["content-security-policy"]
    assert client.resolve(repo, "c.json").headers["content-type"] == "application/json"
    assert client.resolve(repo, "c.json").headers["cache-control"] == "no-cache"
    assert "immutable" in client.resolve(repo, "c.json", commit).headers["cache-control"]


def test_requests_are_counted_and_named(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request id goes in and out; metrics count by route."""
    client.new_repo()
    reply = client.get("/repos/admin/model", headers={"X-Request-Id": "my-id.1"})
    assert reply.headers["x-request-id"] == "my-id.1"
    assert client.get("/repos/no/no", headers={"X-Request-Id": "bad id"}).json()["request_id"] != "bad id"
    metrics = client.http.get("/metrics").text
    assert 'route="/api/v1/repos/{namespace}/{name}"' in metrics
    assert 'freebits_blobs{state="raw"}' in metrics
    assert client.http.get("/healthz").json() == {"status": "ok"}
    assert client.http.get("/readyz").json()["status"] == "ok"
    assert "/api/v1/repos/{namespace}/{name}/commits" in client.http.get("/api/v1/openapi.json").json()["paths"]
    with monkeypatch.context() as patched:
        patched.setattr(operations, "readable_repo", lambda *_: 1 / 0)
        broken = client.get("/repos/admin/model", headers={"X-Request-Id": "my-id.2"})
    assert (broken.status_code, broken.json()["code"], broken.json()["request_id"]) == (500, "INTERNAL", "my-id.2")
    assert broken.headers["x-request-id"] == "my-id.2"
    missing = client.get("/nothing/here")
    assert (missing.status_code, missing.json()["code"]) == (404, "NOT_FOUND")
