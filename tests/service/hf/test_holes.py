"""What other hubs got wrong: whose bytes one may name, and which revision an answer is about."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hf_client import HfClient, file_line, hf_digest, lfs_line

SECRET = b"weights nobody else has" * 1000
OTHER = b"something else" * 1000


@pytest.fixture
def victim(new_user: Callable[[str], HfClient]) -> HfClient:
    """Has a private repo with SECRET in it."""
    victim = new_user("victim")
    assert victim.create("private", visibility="private").status_code == 200
    victim.push_lfs("victim/private", "model.bin", SECRET)
    return victim


@pytest.fixture
def thief(new_user: Callable[[str], HfClient]) -> HfClient:
    """Knows the digest of SECRET, and has a repo."""
    thief = new_user("thief")
    assert thief.create("own").status_code == 200
    return thief


def test_a_digest_is_no_right_to_download(victim: HfClient, thief: HfClient) -> None:
    """Not of an object that another repo holds, not through a repo that does not exist, not through the victim's."""
    [answer] = thief.batch("thief/own", "download", SECRET).json()["objects"]
    assert answer["error"]["code"] == 422
    assert "actions" not in answer
    for repo in ("thief/made-up", "victim/private"):
        refused = thief.batch(repo, "download", SECRET)
        assert (refused.status_code, refused.headers["x-error-code"]) == (404, "RepoNotFound")
    [answer] = victim.batch("victim/private", "download", SECRET).json()["objects"]
    assert victim.http.get(answer["actions"]["download"]["href"]).content == SECRET


def test_a_digest_cannot_be_committed(victim: HfClient, thief: HfClient) -> None:
    """As an uploaded file, and as a copy on the hub, which is the same line without a size."""
    for line in (lfs_line("stolen.bin", SECRET), lfs_line("stolen.bin", SECRET)):
        if line["value"].pop("size", None) and line is not None:
            refused = thief.commit("thief/own", line)
            assert (refused.status_code, refused.json()["code"]) == (422, "BLOB_MISSING")
    assert thief.get("/thief/own/resolve/main/stolen.bin").status_code == 404
    assert victim.commit("victim/private", lfs_line("again.bin", SECRET)).status_code == 200


def test_an_announced_upload_gives_nothing(victim: HfClient, thief: HfClient) -> None:
    """The hub does not say that it has the content, and asking for the end of an upload without bytes fails."""
    [answer] = thief.batch("thief/own", "upload", SECRET).json()["objects"]
    [sent_to] = answer["actions"].values()
    for end in ("verify", "complete"):
        assert thief.post(sent_to["href"].replace("?", f"/{end}?"), json={}).status_code == 422
    assert thief.http.put(sent_to["href"], content=SECRET[:-1]).status_code == 422
    assert thief.commit("thief/own", lfs_line("stolen.bin", SECRET)).status_code == 422


def test_other_bytes_than_announced(thief: HfClient) -> None:
    """Of the right length, and the wrong SHA-256."""
    [answer] = thief.batch("thief/own", "upload", OTHER).json()["objects"]
    put = thief.http.put(answer["actions"]["upload"]["href"], content=bytes(len(OTHER)))
    assert (put.status_code, put.json()["code"]) == (422, "DIGEST_MISMATCH")
    assert thief.commit("thief/own", lfs_line("wrong.bin", OTHER)).status_code == 422


def test_grants_are_for_one_thing(victim: HfClient, thief: HfClient) -> None:
    """For one upload, for one direction, and not to be made up or altered."""
    [mine] = thief.batch("thief/own", "upload", OTHER).json()["objects"]
    [other] = thief.batch("thief/own", "upload", OTHER + b"!").json()["objects"]
    grant = mine["actions"]["upload"]["href"].partition("?grant=")[2]
    elsewhere = other["actions"]["upload"]["href"].partition("?")[0]
    assert thief.http.put(f"{elsewhere}?grant={grant}", content=OTHER).status_code == 404
    assert thief.http.get(f"/lfs/objects/{hf_digest(SECRET)}?grant={grant}").status_code == 401
    head, body, signature = grant.split(".")
    for made_up in (f"{head}.{body[:-2]}AA.{signature}", f"{head}.{body}.{'A' * len(signature)}", "", "x", "e30.e30."):
        assert thief.http.put(f"{elsewhere}?grant={made_up}", content=OTHER).status_code == 401
    assert thief.http.put(elsewhere, content=OTHER).status_code == 422


def test_a_revoked_token_ends_its_grants(client: Any, new_user: Callable[[str], HfClient]) -> None:
    """The address of an upload is worth no more than the token it was asked for with."""
    user = new_user("ada")
    assert user.create("m").status_code == 200
    [answer] = user.batch("ada/m", "upload", OTHER).json()["objects"]
    [token] = client.get("/users/ada/tokens").json()["items"]
    assert client.request("DELETE", f"/users/ada/tokens/{token['id']}").status_code == 204
    assert user.http.put(answer["actions"]["upload"]["href"], content=OTHER).status_code == 401


def test_readers_cannot_write(client: Any, victim: HfClient) -> None:
    """A token of scope ``read`` gets nothing that one could write with."""
    made = client.post("/users/victim/tokens", json={"label": "r", "scope": "read"}).json()["token"]
    reader = HfClient(victim.http, made)
    assert reader.get("/api/models/victim/private").status_code == 200
    assert reader.batch("victim/private", "upload", OTHER).status_code == 403
    assert reader.get("/api/models/victim/private/xet-write-token/main").status_code == 403
    assert reader.commit("victim/private", file_line("a", b"a")).status_code == 403
    assert reader.create("more").status_code == 403


def test_strangers_do_not_learn_of_private_repos(victim: HfClient) -> None:
    """A private repo and none answer alike, everywhere."""
    stranger = HfClient(victim.http, None)
    paths = (
        "/api/models/{}",
        "/api/models/{}/tree/main",
        "/api/models/{}/refs",
        "/api/models/{}/commits/main",
        "/api/models/{}/revision/main",
        "/{}/resolve/main/model.bin",
        "/api/models/{}/xet-write-token/main",
    )
    for path in paths:
        private, missing = (stranger.get(path.format(name)) for name in ("victim/private", "victim/missing"))
        assert (private.status_code, private.headers["x-error-code"]) == (404, "RepoNotFound"), path
        assert (
            private.text.replace("private", "missing").partition("request_id")[0]
            == (missing.text.replace("private", "missing").partition("request_id")[0])
        )


def test_answers_are_about_their_revision(hf: HfClient) -> None:
    """ETag and size of a file at an old commit and a tag are those it had there; the commit is told, not the tag."""
    assert hf.create("m").status_code == 200
    first = hf.push_lfs("admin/m", "model.bin", SECRET)
    assert hf.post(f"/api/models/admin/m/tag/{first}", json={"tag": "v1"}).status_code == 200
    second = hf.push_lfs("admin/m", "model.bin", OTHER)
    for revision, commit, content in ((first, first, SECRET), ("v1", first, SECRET), ("main", second, OTHER)):
        for method in ("HEAD", "GET"):
            reply = hf.request(method, f"/admin/m/resolve/{revision}/model.bin")
            assert reply.headers["x-repo-commit"] == commit
            assert reply.headers["etag"] == reply.headers["x-linked-etag"] == f'"{hf_digest(content)}"'
            assert int(reply.headers["x-linked-size"]) == int(reply.headers["content-length"]) == len(content)
    absent = hf.get("/admin/m/resolve/v1/absent")
    assert (absent.status_code, absent.headers["x-error-code"]) == (404, "EntryNotFound")
    assert absent.headers["x-repo-commit"] == first


def test_commits_at_once_do_not_mix(hf: HfClient) -> None:
    """Each is whole in history; with ``parentCommit`` one wins and the others are told."""
    assert hf.create("m").status_code == 200
    head = hf.get("/api/models/admin/m").json()["sha"]

    def commit(number: int) -> Any:
        lines = [file_line(f"{number}/{name}", str(number).encode()) for name in "abc"]
        return hf.commit("admin/m", *lines, summary=f"commit {number}", parentCommit=head)

    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(commit, range(4)))
    assert sorted(reply.status_code for reply in replies) == [200, 412, 412, 412]
    files = {entry["path"] for entry in hf.get("/api/models/admin/m/tree/main?recursive=true").json()}
    [winner] = {path[0] for path in files if path[0].isdigit()}
    assert {path for path in files if path[0].isdigit() and "/" in path} == {f"{winner}/{name}" for name in "abc"}
