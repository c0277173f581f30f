"""Repos, listings and refs as Hugging Face clients ask for them, where a released client does not look closely."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from hf_client import HfClient, file_line, hf_digest

from freebits_service.context import Hub
from freebits_service.hf.bodies import git_blob_id, pointer


def test_whoami(client: Any, hf: HfClient, new_user: Callable[[str], HfClient]) -> None:
    """Organizations and what the token is for; strangers and wrong tokens get 401."""
    ada = new_user("ada")
    assert client.post("/orgs", json={"name": "lab"}).status_code == 201
    assert client.post("/orgs/lab/members", json={"user": "ada", "role": "write"}).status_code < 300
    facts = ada.get("/api/whoami-v2").json()
    assert (facts["name"], [org["name"] for org in facts["orgs"]]) == ("ada", ["lab"])
    assert facts["auth"]["accessToken"] == {"displayName": "first", "role": "write"}
    read_only = client.post("/users/ada/tokens", json={"label": "ci", "scope": "read"}).json()["token"]
    facts = HfClient(hf.http, read_only).get("/api/whoami-v2").json()
    assert facts["auth"]["accessToken"] == {"displayName": "ci", "role": "read"}
    wrong = HfClient(hf.http, "fb_wrong").get("/api/whoami-v2")
    assert wrong.headers["x-error-message"] == "Invalid credentials in Authorization header"
    assert (wrong.status_code, HfClient(hf.http, None).get("/api/whoami-v2").status_code) == (401, 401)


def test_basic_authentication(hf: HfClient) -> None:
    """The token as a password, which is all that git-lfs can send."""

    def answered(credentials: bytes) -> int:
        header = f"Basic {base64.b64encode(credentials).decode()}"
        return hf.http.get("/api/whoami-v2", headers={"Authorization": header}).status_code

    assert answered(f"anybody:{hf.token}".encode()) == 200
    assert [answered(wrong) for wrong in (b"anybody:fb_wrong", b"anybody:", b"no colon", b"\xff:\xff")] == [401] * 4
    assert hf.http.get("/api/whoami-v2", headers={"Authorization": "Basic ###"}).status_code == 401


def test_creation(hf: HfClient, new_user: Callable[[str], HfClient]) -> None:
    """In an organization, private in both ways of saying it, twice, of another kind, where one may not."""
    first = hf.create("m", private=True)
    assert first.json()["url"] == "http://testserver/admin/m"
    assert hf.create("d", type="dataset").json()["url"] == "http://testserver/datasets/admin/d"
    assert hf.get("/api/models/admin/m").json()["private"] is True
    again = hf.create("m")
    assert (again.status_code, again.json()["url"]) == (409, "http://testserver/admin/m")
    assert hf.create("m", type="dataset").status_code == 409
    assert hf.get("/api/models/admin/d").headers["x-error-code"] == "RepoNotFound"
    ada = new_user("ada")
    assert ada.create("m", organization="admin").status_code == 403
    assert HfClient(hf.http, None).create("m").status_code == 401
    for name in ("..", "a--b", "", "x" * 97, "a/b/c"):
        assert hf.create(name).status_code in {404, 422}, name


@pytest.mark.parametrize("name", ["api", "datasets", "Spaces", "xet", "lfs"])
def test_reserved_names(client: Any, hf: HfClient, name: str) -> None:
    """Nobody gets a namespace whose repos could not be told from other paths."""
    assert client.post("/users", json={"name": name}).status_code == 422
    assert client.post("/orgs", json={"name": name}).status_code == 422
    assert client.post("/repos", json={"name": f"{name}/m"}).status_code == 422
    assert hf.create("m", organization=name).status_code == 422


def test_move(client: Any, hf: HfClient, new_user: Callable[[str], HfClient]) -> None:
    """The files, the history and what the namespace pays go with it."""
    new_user("ada")
    assert hf.create("m").status_code == 200
    assert hf.commit("admin/m", file_line("a.bin", b"a" * 5000)).status_code == 200

    def used(namespace: str) -> int:
        return int(client.get(f"/namespaces/{namespace}/usage").json()["logical_nbytes"])

    before = used("admin")
    moved = hf.post("/api/repos/move", json={"fromRepo": "admin/m", "toRepo": "ada/n", "type": "model"})
    assert moved.status_code == 200, moved.text
    assert (used("admin"), used("ada")) == (0, before)
    assert hf.get("/ada/n/resolve/main/a.bin").content == b"a" * 5000
    assert hf.get("/api/models/admin/m").status_code == 404
    assert hf.create("m").status_code == 200
    taken = hf.post("/api/repos/move", json={"fromRepo": "ada/n", "toRepo": "admin/m", "type": "model"})
    assert (taken.status_code, taken.json()["code"]) == (409, "REPO_EXISTS")
    ada = HfClient(hf.http, client.post("/users/ada/tokens", json={"label": "x"}).json()["token"])
    assert ada.post("/api/repos/move", json={"fromRepo": "ada/n", "toRepo": "admin/o"}).status_code == 403


def test_lists_of_repos(hf: HfClient, new_user: Callable[[str], HfClient]) -> None:
    """By pages, of one kind, by author and by words; private ones only for who may see them."""
    for number in range(5):
        assert hf.create(f"tiny-{number}").status_code == 200
    assert hf.create("data", type="dataset").status_code == 200
    assert hf.create("secret-tiny", private=True).status_code == 200
    found, url = [], "/api/models?search=TINY&author=admin&limit=2"
    while url:
        page = hf.get(url)
        found += [repo["id"] for repo in page.json()]
        url = page.links.get("next", {}).get("url", "")
    assert found == ["admin/secret-tiny", *[f"admin/tiny-{number}" for number in range(5)]]
    ada = new_user("ada")
    assert [repo["id"] for repo in ada.get("/api/models?search=tiny-3").json()] == ["admin/tiny-3"]
    assert ada.get("/api/models?search=secret").json() == []
    assert [repo["id"] for repo in ada.get("/api/datasets").json()] == ["admin/data"]


def test_trees(hf: HfClient) -> None:
    """Pages with links, folders, names that need quoting, ids that are those of pointers."""
    assert hf.create("m").status_code == 200
    paths = [f"d/{number:04}" for number in range(1500)] + ["ü x/ä", "plain"]
    assert hf.commit("admin/m", *[file_line(path, path.encode()) for path in paths]).status_code == 200
    found, url = [], "/api/models/admin/m/tree/main?recursive=true"
    while url:
        page = hf.get(url)
        found += page.json()
        url = page.links.get("next", {}).get("url", "")
    assert [entry["path"] for entry in found if entry["type"] == "file"] == sorted([*paths, ".gitattributes"])
    assert [entry["path"] for entry in found if entry["type"] == "directory"] == ["d", "ü x"]
    plain = next(entry for entry in found if entry["path"] == "plain")
    text = pointer(hf_digest(b"plain"), 5)
    assert plain["lfs"] == {"oid": hf_digest(b"plain"), "size": 5, "pointerSize": len(text)}
    assert (plain["oid"], plain["size"]) == (git_blob_id(text), 5)
    [inside] = hf.get("/api/models/admin/m/tree/main/%C3%BC%20x").json()
    assert inside["path"] == "ü x/ä"
    flat = hf.get("/api/models/admin/m/tree/main").json()
    assert {entry["path"] for entry in flat} == {".gitattributes", "d", "plain", "ü x"}
    absent = hf.get("/api/models/admin/m/tree/main/absent")
    assert (absent.status_code, absent.headers["x-error-code"]) == (404, "EntryNotFound")


def test_git_blob_id() -> None:
    """As ``git hash-object`` has it."""
    assert git_blob_id(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_paths_info(hf: HfClient) -> None:
    """As a form and as JSON; what is not there is left out."""
    assert hf.create("m").status_code == 200
    assert hf.commit("admin/m", file_line("d/a", b"a"), file_line("ü", b"u")).status_code == 200
    url = "/api/models/admin/m/paths-info/main"
    asked = ["d", "d/a", "ü", "absent", "d/absent"]
    for options in ({"data": {"paths": asked, "expand": "true"}}, {"json": {"paths": asked}}):
        found = hf.post(url, **options).json()
        assert [(entry["path"], entry["type"]) for entry in found] == [
            ("d", "directory"),
            ("d/a", "file"),
            ("ü", "file"),
        ]
    for wrong in (
        {"json": {}},
        {"json": {"paths": [1]}},
        {"content": b"\xff", "headers": {"Content-Type": "application/json"}},
    ):
        assert hf.post(url, **wrong).status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "feature"),
    [
        ("GET", "/api/models/a/b/discussions", "discussions"),
        ("POST", "/api/models/a/b/discussions", "pull requests"),
        ("POST", "/api/datasets/a/b/super-squash/main", "squashing"),
        ("GET", "/api/models/a/b/lfs-files", "LFS files"),
        ("GET", "/api/settings/webhooks", "webhooks"),
        ("POST", "/api/collections", "collections"),
        ("POST", "/oauth/device", "device code"),
        ("POST", "/api/buckets/a/b", "buckets"),
    ],
)
def test_what_is_missing_is_named(hf: HfClient, method: str, path: str, feature: str) -> None:
    """501, with the feature's name where clients show it."""
    reply = hf.request(method, path)
    assert (reply.status_code, reply.json()["code"]) == (501, "NOT_OFFERED")
    assert feature in reply.headers["x-error-message"]


def test_unknown_paths_are_json(hf: HfClient) -> None:
    """A client asks for this one when it is imported, and breaks over anything but an object."""
    for path in ("/api/agent-harnesses", "/api/anything", "/api/telemetry/x"):
        reply = hf.get(path)
        assert reply.status_code == 404
        assert isinstance(reply.json(), dict)


def test_gated_repos_are_not_offered(hf: HfClient) -> None:
    """Better than a repo that is thought to be gated."""
    assert hf.create("m").status_code == 200
    settings = "/api/models/admin/m/settings"
    assert hf.request("PUT", settings, json={"gated": "auto"}).status_code == 501
    assert hf.request("PUT", settings, json={"gated": False, "private": True}).status_code == 200
    assert hf.get("/api/models/admin/m").json()["private"] is True


def test_addresses_are_those_of_the_settings(make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any]) -> None:
    """Behind a proxy a client's Host header says little; what the hub gives back begins with its public address."""
    client = make_client(make_hub(public_url="https://hub.example.org/"))
    hf = HfClient(client.http, client.token)
    assert hf.create("m").json()["url"] == "https://hub.example.org/admin/m"
    assert hf.create("n").status_code == 200
    token = hf.get("/api/models/admin/m/xet-write-token/main").json()
    [upload] = hf.batch("admin/m", "upload", b"x" * 100).json()["objects"]
    links = hf.get("/api/models?limit=1").links
    for url in (token["casUrl"], upload["actions"]["upload"]["href"], links["next"]["url"]):
        assert url.startswith("https://hub.example.org/"), url
