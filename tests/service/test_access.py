"""Who may do what: strangers, readers, owners and admins on public and private repos."""

from __future__ import annotations

from typing import Any

import pytest

CONTENT = b"weights" * 100
READ = {
    "repo": lambda c, r: c.get(f"/repos/{r}"),
    "refs": lambda c, r: c.get(f"/repos/{r}/refs"),
    "commits": lambda c, r: c.get(f"/repos/{r}/commits/main"),
    "tree": lambda c, r: c.get(f"/repos/{r}/tree/main"),
    "resolve": lambda c, r: c.resolve(r, "a"),
}
WRITE = {
    "upload": lambda c, r: c.begin(r, b"new"),
    "commit": lambda c, r: c.commit(r, {"b": CONTENT}),
    "ref": lambda c, r: c.post(f"/repos/{r}/refs", json={"type": "tag", "name": "v1", "target": "main"}),
    "unref": lambda c, r: c.request("DELETE", f"/repos/{r}/refs/tag/none"),
    "change": lambda c, r: c.request("PATCH", f"/repos/{r}", json={"visibility": "private"}),
    "delete": lambda c, r: c.request("DELETE", f"/repos/{r}"),
}


@pytest.fixture
def users(client: Any) -> dict[str, Any]:
    """Clients of each kind, and repos ``owner/public`` and ``owner/private``."""
    owner = client.new_user("owner")
    for visibility in ("public", "private"):
        owner.push(owner.new_repo(f"owner/{visibility}", visibility), {"a": CONTENT})
    return {"admin": client, "owner": owner, "reader": client.new_user("reader"), "stranger": client.as_user(None)}


@pytest.mark.parametrize("who", ["stranger", "reader", "owner", "admin"])
def test_reading(users: dict[str, Any], who: str) -> None:
    """Public repos are everybody's to read; private ones are 404 for all but owner and admin."""
    for name, request in READ.items():
        assert request(users[who], "owner/public").status_code == 200, name
        reply = request(users[who], "owner/private")
        if who in {"owner", "admin"}:
            assert reply.status_code == 200, name
        else:
            assert (reply.status_code, reply.json()["code"]) == (404, "REPO_NOT_FOUND"), name


@pytest.mark.parametrize("who", ["stranger", "reader", "owner", "admin"])
def test_writing(users: dict[str, Any], who: str) -> None:
    """Everything that writes needs a token of the owner or an admin; private repos stay unknown to others."""
    refusals = {"stranger": (401, "UNAUTHENTICATED"), "reader": (403, "FORBIDDEN")}
    for name, request in WRITE.items():
        public, private = request(users[who], "owner/public"), request(users[who], "owner/private")
        if who in refusals:
            assert (public.status_code, public.json()["code"]) == refusals[who], name
            assert (private.status_code, private.json()["code"]) == (404, "REPO_NOT_FOUND"), name
        else:
            assert {public.status_code, private.status_code} & {401, 403} == set(), name
            assert "REPO_NOT_FOUND" not in public.text + private.text, name


def test_creating_repos(users: dict[str, Any]) -> None:
    """A user owns the namespace of its name; an admin all of them."""
    expected = {"stranger": 401, "reader": 403, "owner": 201, "admin": 201}
    for who, status in expected.items():
        assert users[who].post("/repos", json={"name": f"owner/by-{who}"}).status_code == status


def test_listing_shows_what_one_may_read(users: dict[str, Any]) -> None:
    """Private repos are listed for owner and admin only, paged by name."""
    for who, expected in {
        "stranger": ["owner/public"],
        "reader": ["owner/public"],
        "owner": ["owner/private", "owner/public"],
        "admin": ["owner/private", "owner/public"],
    }.items():
        first = users[who].get("/repos", params={"limit": 1}).json()
        names = [item["name"] for item in first["items"]]
        while first["next"]:
            first = users[who].get("/repos", params={"limit": 1, "after": first["next"]}).json()
            names += [item["name"] for item in first["items"]]
        assert names == expected, who


def test_users_and_tokens(users: dict[str, Any]) -> None:
    """Admins make users; users make and revoke their own tokens; a revoked token is nobody's."""
    admin, reader = users["admin"], users["reader"]
    assert reader.post("/users", json={"name": "friend"}).status_code == 403
    assert admin.post("/users", json={"name": "reader"}).json()["code"] == "USER_EXISTS"
    assert reader.post("/users/owner/tokens", json={}).status_code == 403
    issued = reader.post("/users/reader/tokens", json={"label": "laptop"}).json()
    second = reader.as_user(issued["token"])
    assert second.get("/whoami").json()["name"] == "reader"
    assert reader.request("DELETE", f"/users/reader/tokens/{issued['id']}").status_code == 204
    reply = second.get("/whoami")
    assert (reply.status_code, reply.json()["code"]) == (401, "UNAUTHENTICATED")
    assert reply.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Basic abc", "Bearer wrong", "nonsense"])
def test_a_bad_token_is_refused_even_where_none_is_needed(users: dict[str, Any], header: str) -> None:
    """Nobody reads as a stranger by mistake."""
    reply = users["stranger"].get("/repos/owner/public", headers={"Authorization": header})
    assert (reply.status_code, reply.json()["code"]) == (401, "UNAUTHENTICATED")


def test_uploads_belong_to_who_began_them(users: dict[str, Any]) -> None:
    """Not even an admin sends parts to somebody else's upload."""
    upload = users["owner"].begin("owner/public", b"new content").json()
    reply = users["admin"].put_part("owner/public", upload, 0, b"new content")
    assert reply.json()["code"] == "UPLOAD_NOT_FOUND"


def test_only_admins_act_on_jobs(users: dict[str, Any]) -> None:
    """Owners see the work on their content, who holds none of it sees nothing, and strangers are sent away."""
    (job,) = users["owner"].get("/jobs").json()["items"]
    assert users["reader"].get("/jobs").json()["items"] == []
    assert users["stranger"].get("/jobs").status_code == 401
    assert users["owner"].post(f"/jobs/{job['id']}/cancel").status_code == 403
    assert users["admin"].post(f"/jobs/{job['id']}/cancel").status_code == 204


def test_content_of_a_repo_made_private_needs_possession_again(users: dict[str, Any]) -> None:
    """Who could read a public repo and did not upload cannot commit its content once it is private."""
    repo = users["reader"].new_repo("reader/copy")
    users["owner"].request("PATCH", "/repos/owner/public", json={"visibility": "private"})
    assert users["reader"].commit(repo, {"a": CONTENT}).json()["code"] == "BLOB_MISSING"
