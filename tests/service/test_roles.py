"""Organizations and their roles, scopes of tokens, and who stays a stranger."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from freebits_service.accounts.principal import Principal, readable_by
from freebits_service.accounts.queries import set_last_used
from freebits_service.clock import now
from freebits_service.collection.operations import collect
from freebits_service.context import Hub
from freebits_service.models import Repo, Token

CONTENT = b"weights" * 100
DIGEST = "0" * 64
PRIVATE = "lab/private"
WRITES = {
    "begin": lambda c: c.begin(PRIVATE, b"new"),
    "commit": lambda c: c.commit(PRIVATE, {"b": CONTENT}),
    "ref": lambda c: c.post(f"/repos/{PRIVATE}/refs", json={"type": "tag", "name": "v1", "target": "main"}),
    "create": lambda c: c.post("/repos", json={"name": "lab/new", "visibility": "private"}),
}
CONTROLS = {
    "change": lambda c: c.request("PATCH", f"/repos/{PRIVATE}", json={"visibility": "private"}),
    "member": lambda c: c.post("/orgs/lab/members", json={"user": "owner", "role": "admin"}),
    "audit": lambda c: c.get("/audit", params={"namespace": "lab"}),
    "delete": lambda c: c.request("DELETE", f"/repos/{PRIVATE}"),
}


@pytest.fixture
def people(client: Any) -> dict[str, Any]:
    """An organization ``lab`` with a private repo, its members by role, and others."""
    assert client.post("/orgs", json={"name": "lab"}).status_code == 201
    found = {role: client.new_user(f"{role}er") for role in ("read", "write", "admin")}
    for role in found:
        assert client.post("/orgs/lab/members", json={"user": f"{role}er", "role": role}).status_code == 200
    client.push(client.new_repo(PRIVATE, "private"), {"a": CONTENT})
    return {**found, "other": client.new_user("owner"), "stranger": client.as_user(None), "hub admin": client}


@pytest.mark.parametrize("who", ["read", "write", "admin", "other"])
def test_what_members_may(people: dict[str, Any], who: str) -> None:
    """``read`` sees the private repos, ``write`` also pushes and creates, ``admin`` also controls."""
    member = people[who]
    assert member.resolve(PRIVATE, "a").status_code == (404 if who == "other" else 200)
    assert [item["name"] for item in member.get("/repos").json()["items"]] == ([] if who == "other" else [PRIVATE])
    assert member.get("/namespaces/lab/usage").status_code == (404 if who == "other" else 200)
    assert member.get("/orgs/lab/members").status_code == (404 if who == "other" else 200)
    assert [org["name"] for org in member.get("/orgs").json()["items"]] == ([] if who == "other" else ["lab"])
    for name, request in {**WRITES, **CONTROLS}.items():
        may = who == "admin" or (who == "write" and name in WRITES)
        assert (request(member).status_code in {403, 404}) != may, name


def _invisible_to(client: Any, openapi: dict[str, Any]) -> None:
    bodies = {
        "NewVariant": {"method": "gauge-polar"},
        "NewUpload": {"sha256": DIGEST, "nbytes": 1, "stored_nbytes": 1, "stored_sha256": DIGEST},
        "NewCommit": {"parent": None, "message": "m", "operations": []},
        "NewRef": {"type": "tag", "name": "v", "target": "main"},
        "RepoChange": {"visibility": "public"},
        "Undelete": {"as": "again"},
    }
    walked = 0
    for route, operations in openapi["paths"].items():
        if "{namespace}/{name}" not in route:
            continue
        path = route.removeprefix("/api/v1").replace("{namespace}/{name}", PRIVATE)
        for name, value in {"revision": "main", "path": "a", "kind": "tag", "number": "0"}.items():
            path = path.replace(f"{{{name}}}", value)
        path = path.replace("{ref}", "v").replace("{upload_id}", "0" * 32)
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {})
            reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
            body = bodies.get(reference.rpartition("/")[2])
            reply = client.request(method.upper(), path, params={"numbers": "0-0"}, **({"json": body} if body else {}))
            assert (reply.status_code, reply.json()["code"]) == (404, "REPO_NOT_FOUND"), (method, route)
            walked += 1
    assert walked >= 13


def test_private_repos_are_invisible_on_every_route(people: dict[str, Any]) -> None:
    """Every route of a private repo answers others, strangers, and tokens for another namespace with 404."""
    issued = people["read"].post("/users/reader/tokens", json={"limited_to": "reader"}).json()
    openapi = people["hub admin"].get("/openapi.json").json()
    for client in (people["other"], people["stranger"], people["read"].as_user(issued["token"])):
        _invisible_to(client, openapi)
    assert PRIVATE not in people["other"].get("/repos", params={"namespace": "lab"}).text


@pytest.mark.parametrize(
    ("scope", "limited_to", "expected"),
    [
        ("read", "", {"read": 200, "write": 403, "other": 403, "control": 403}),
        ("write", "", {"read": 200, "write": 201, "other": 201, "control": 403}),
        ("admin", "", {"read": 200, "write": 201, "other": 201, "control": 200}),
        ("admin", "lab", {"read": 200, "write": 201, "other": 403, "control": 200}),
        ("write", PRIVATE, {"read": 200, "write": 201, "other": 403, "control": 403}),
        ("write", "lab/else", {"read": 404, "write": 404, "other": 403, "control": 404}),
    ],
)
def test_what_a_token_is_for(people: dict[str, Any], scope: str, limited_to: str, expected: dict[str, int]) -> None:
    """A token may do what its user may, within its scope and the namespace or repo it is limited to."""
    owner = people["admin"]
    body = {"scope": scope, "limited_to": limited_to, "label": "ci"}
    client = owner.as_user(owner.post("/users/adminer/tokens", json=body).json()["token"])
    assert client.resolve(PRIVATE, "a").status_code == expected["read"]
    assert client.begin(PRIVATE, b"new").status_code == expected["write"]
    assert client.post("/repos", json={"name": "adminer/own"}).status_code == expected["other"]
    change = client.request("PATCH", f"/repos/{PRIVATE}", json={"visibility": "private"})
    assert change.status_code == expected["control"]
    minted = client.post("/users/adminer/tokens", json={"scope": "admin"})
    assert minted.status_code == (201 if (scope, limited_to) == ("admin", "") else 403)


def test_jobs_are_seen_with_the_repos(people: dict[str, Any]) -> None:
    """Members see the work on their organization's content; others, and tokens for something else, do not."""
    issued = people["read"].post("/users/reader/tokens", json={"limited_to": "reader"}).json()
    elsewhere = people["read"].as_user(issued["token"])
    seen = {who: people[who].get("/jobs").json()["items"] for who in ("read", "other", "hub admin")}
    assert [job["repo"] for job in seen["read"]] == [job["repo"] for job in seen["hub admin"]] == [PRIVATE]
    assert seen["other"] == elsewhere.get("/jobs").json()["items"] == []


def test_a_hub_admin_with_a_lesser_token_is_none(client: Any) -> None:
    """Scope and limit bind admins of the hub as well."""
    for body in ({"scope": "write"}, {"scope": "admin", "limited_to": "admin"}):
        lesser = client.as_user(client.post("/users/admin/tokens", json=body).json()["token"])
        assert lesser.get("/users").status_code == 403
        assert lesser.post("/orgs", json={"name": "x"}).status_code == 403


def test_tokens_expire_are_listed_and_revoked(client: Any, hub: Hub) -> None:
    """A listing has everything but the secret; an expired or revoked token is nobody's."""
    issued = client.post("/users/admin/tokens", json={"label": "short", "expires_in_s": 60}).json()
    listed = {item["label"]: item for item in client.get("/users/admin/tokens").json()["items"]}
    assert listed["short"].items() == {key: issued[key] for key in listed["short"]}.items()
    assert "token" not in listed["short"]
    short = client.as_user(issued["token"])
    assert short.get("/whoami").json()["scope"] == "write"
    with hub.db.transaction() as session:
        session.get_one(Token, issued["id"]).expires_at = now() - timedelta(seconds=1)
    assert "expired" in short.get("/whoami").json()["message"]
    assert client.request("DELETE", f"/users/admin/tokens/{issued['id']}").status_code == 204
    assert client.request("DELETE", f"/users/admin/tokens/{issued['id']}").json()["code"] == "TOKEN_NOT_FOUND"


def test_last_use_is_written_by_the_batch(client: Any, hub: Hub) -> None:
    """Reading writes nothing; the flush notes each token once, and never an earlier moment over a later one."""
    last_use = client.http.app.state.last_use
    client.get("/whoami")
    assert client.get("/users/admin/tokens").json()["items"][0]["last_used_at"] is None
    last_use.flush(hub.db)
    noted = client.get("/users/admin/tokens").json()["items"][0]["last_used_at"]
    assert noted is not None
    with hub.db.transaction() as session:
        set_last_used(session, [(1, now() - timedelta(hours=1))])
    assert client.get("/users/admin/tokens").json()["items"][0]["last_used_at"] == noted


@pytest.mark.parametrize("how", ["deactivated", "removed"])
def test_tokens_die_with_their_user(client: Any, how: str) -> None:
    """At once, and for good: who is activated again needs a new token."""
    user = client.new_user("leaver")
    assert user.get("/whoami").status_code == 200
    if how == "removed":
        assert client.request("DELETE", "/users/leaver").status_code == 204
    else:
        assert client.request("PATCH", "/users/leaver", json={"active": False}).json()["active"] is False
    assert user.get("/whoami").status_code == 401
    if how == "deactivated":
        assert client.post("/users/leaver/tokens", json={}).status_code == 403
        client.request("PATCH", "/users/leaver", json={"active": True})
        assert user.get("/whoami").status_code == 401


def test_names_are_shared_and_never_inherited(hub: Hub, client: Any) -> None:
    """A name is a user's or an organization's; one with repos, also deleted ones, cannot become free."""
    client.new_user("taken")
    client.post("/orgs", json={"name": "lab"})
    assert client.post("/orgs", json={"name": "taken"}).json()["code"] == "USER_EXISTS"
    assert client.post("/users", json={"name": "lab"}).json()["code"] == "USER_EXISTS"
    for path, repo in {"/users/taken": "taken/r", "/orgs/lab": "lab/r"}.items():
        client.new_repo(repo)
        assert client.request("DELETE", path).json()["code"] == "NAMESPACE_IN_USE"
        client.request("DELETE", f"/repos/{repo}")
        assert client.request("DELETE", path).json()["code"] == "NAMESPACE_IN_USE"
        collect(hub, least_grace_s=0)
        assert client.request("DELETE", path).status_code == 204
    assert client.post("/orgs", json={"name": "taken"}).status_code == 201


def test_a_hub_keeps_an_admin(client: Any) -> None:
    """Nobody takes rights from themselves or from the built-in admin."""
    client.post("/users", json={"name": "second", "role": "admin"})
    second = client.as_user(client.post("/users/second/tokens", json={"scope": "admin"}).json()["token"])
    for who, name in ((second, "admin"), (second, "second"), (client, "admin")):
        assert who.request("DELETE", f"/users/{name}").status_code == 403
        assert who.request("PATCH", f"/users/{name}", json={"role": "user"}).status_code == 403
        assert who.request("PATCH", f"/users/{name}", json={"active": False}).status_code == 403
    assert client.request("PATCH", "/users/second", json={"role": "user"}).json()["role"] == "user"
    assert second.get("/users").status_code == 403


@pytest.mark.parametrize("scope", ["read", "admin"])
@pytest.mark.parametrize("limited_to", ["", "lab", "lab/a", "ann", "ann/b", "eve", "lab/other"])
@pytest.mark.parametrize("name", ["ann", "root"])
def test_the_filter_decides_as_the_principal_does(
    make_hub: Callable[..., Hub], name: str, limited_to: str, scope: str
) -> None:
    """`readable_by` in SQL finds exactly the repos of which `may_read` is true."""
    hub = make_hub()
    role = "admin" if name == "root" else "user"
    principal = Principal(1, name, role, 1, scope, limited_to, {"lab": "read"})
    with hub.db.transaction() as session:
        for namespace in ("ann", "eve", "lab"):
            for repo in ("a", "b"):
                for visibility in ("public", "private"):
                    session.add(
                        Repo(
                            namespace=namespace,
                            name=f"{repo}" if visibility == "private" else f"{repo}-public",
                            visibility=visibility,
                            default_branch="main",
                            created_at=now(),
                        )
                    )
        session.flush()
        repos = session.scalars(select(Repo)).all()
        found = set(session.scalars(select(Repo.id).where(readable_by(principal))))
        assert found == {repo.id for repo in repos if principal.may_read(repo)}
