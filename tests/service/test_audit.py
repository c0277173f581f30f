"""Who changed what, when, from where, in which request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select

from freebits_service.context import Hub
from freebits_service.models import Audit, Job

CONTENT = b"weights" * 20_000
NOT_RECORDED = {
    # Bytes for an announced upload: nobody sees them before `upload.complete`, which is recorded.
    ("PUT", "/api/v1/repos/{namespace}/{name}/uploads/{upload_id}/parts/{number}"),
    # Begins a login that changes nothing unless it is finished, which is recorded.
    ("POST", "/api/v1/oidc/logins"),
}
RECORDED_ELSEWHERE = {("POST", "/api/v1/oidc/tokens")}  # tests/service/test_oidc.py


def _only_job(hub: Hub) -> int:
    with hub.db.snapshot() as session:
        return session.scalars(select(Job.id)).one()


def _walk(client: Any, hub: Hub) -> list[tuple[str, str, Callable[[], Any]]]:
    """One successful request of every route that changes something, in an order in which each can work."""
    repo, api = "bob/model", "/api/v1"
    upload: dict[str, Any] = {}
    token: dict[str, Any] = {}
    path = f"{api}/repos/{{namespace}}/{{name}}"

    def begin(content: bytes) -> Any:
        reply = client.begin(repo, content)
        upload.update(reply.json())
        return reply

    def complete() -> Any:
        for number in range(upload["part_count"]):
            assert client.put_part(repo, upload, number, CONTENT).status_code == 200
        return client.complete(repo, upload)

    def mint() -> Any:
        reply = client.post("/users/bob/tokens", json={"label": "x"})
        token.update(reply.json())
        return reply

    return [
        ("POST", f"{api}/users", lambda: client.post("/users", json={"name": "bob"})),
        ("PATCH", f"{api}/users/{{name}}", lambda: client.request("PATCH", "/users/bob", json={"role": "user"})),
        ("POST", f"{api}/users/{{name}}/tokens", mint),
        (
            "DELETE",
            f"{api}/users/{{name}}/tokens/{{token_id}}",
            lambda: client.request("DELETE", f"/users/bob/tokens/{token['id']}"),
        ),
        ("POST", f"{api}/orgs", lambda: client.post("/orgs", json={"name": "lab"})),
        (
            "POST",
            f"{api}/orgs/{{org}}/members",
            lambda: client.post("/orgs/lab/members", json={"user": "bob", "role": "read"}),
        ),
        ("DELETE", f"{api}/orgs/{{org}}/members/{{user}}", lambda: client.request("DELETE", "/orgs/lab/members/bob")),
        ("DELETE", f"{api}/orgs/{{org}}", lambda: client.request("DELETE", "/orgs/lab")),
        (
            "PATCH",
            f"{api}/namespaces/{{namespace}}/quota",
            lambda: client.request("PATCH", "/namespaces/bob/quota", json={"stored_nbytes": "unlimited"}),
        ),
        ("POST", f"{api}/usage/recount", lambda: client.post("/usage/recount", json={"namespace": "bob"})),
        ("POST", f"{api}/repos", lambda: client.post("/repos", json={"name": repo})),
        ("PATCH", path, lambda: client.request("PATCH", f"/repos/{repo}", json={"visibility": "private"})),
        ("POST", f"{path}/uploads", lambda: begin(b"dropped")),
        (
            "DELETE",
            f"{path}/uploads/{{upload_id}}",
            lambda: client.request("DELETE", f"/repos/{repo}/uploads/{upload['id']}"),
        ),
        ("POST", f"{path}/uploads", lambda: begin(CONTENT)),
        ("POST", f"{path}/uploads/{{upload_id}}/complete", complete),
        ("POST", f"{path}/commits", lambda: client.commit(repo, {"a": CONTENT})),
        (
            "POST",
            f"{path}/refs",
            lambda: client.post(f"/repos/{repo}/refs", json={"type": "tag", "name": "v1", "target": "main"}),
        ),
        (
            "DELETE",
            f"{path}/refs/{{kind}}/{{ref}}",
            lambda: client.request("DELETE", f"/repos/{repo}/refs/tag/v1"),
        ),
        ("POST", f"{api}/jobs/{{job_id}}/cancel", lambda: client.post(f"/jobs/{_only_job(hub)}/cancel")),
        ("POST", f"{api}/jobs/{{job_id}}/retry", lambda: client.post(f"/jobs/{_only_job(hub)}/retry")),
        (
            "POST",
            f"{path}/variants",
            lambda: client.post(f"/repos/{repo}/variants", json={"method": "gauge-polar"}),
        ),
        ("DELETE", path, lambda: client.request("DELETE", f"/repos/{repo}")),
        ("POST", f"{path}/undelete", lambda: client.post(f"/repos/{repo}/undelete", json={})),
        ("DELETE", f"{api}/users/{{name}}", lambda: client.request("DELETE", "/users/carl")),
    ]


def test_every_mutating_route_is_recorded(make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any]) -> None:
    """Each of them writes one line with user, token, address and request id; a route that is new here fails."""
    hub = make_hub(delete_grace_s=3600)
    client = make_client(hub)
    client.new_user("carl")
    walk = _walk(client, hub)
    routes = {
        (method.upper(), route)
        for route, operations in client.get("/openapi.json").json()["paths"].items()
        for method in operations
        if method not in {"get", "head"}
    }
    assert {(method, route) for method, route, _ in walk} == routes - NOT_RECORDED - RECORDED_ELSEWHERE
    for method, route, request in walk:
        before = _newest(hub)
        reply = request()
        assert reply.status_code in {200, 201, 202, 204}, (method, route, reply.text)
        with hub.db.snapshot() as session:
            lines = session.scalars(select(Audit).where(Audit.id > before)).all()
            assert len(lines) == 1, (method, route)
            (line,) = lines
            told = (line.user, line.token_id, line.address, line.request_id)
            assert told == ("admin", 1, "testclient", reply.headers["x-request-id"]), (method, route)
            assert line.namespace or line.action.startswith("job."), (method, route)


def _newest(hub: Hub) -> int:
    with hub.db.snapshot() as session:
        return session.scalar(select(func.max(Audit.id))) or 0


def test_a_refused_change_is_not_recorded(client: Any, hub: Hub) -> None:
    """The line is part of the transaction of the change, so there is none without the other."""
    client.new_repo("admin/model")
    before = _newest(hub)
    assert client.post("/repos", json={"name": "admin/model"}).status_code == 409
    assert client.commit("admin/model", {"a": b"never uploaded"}).status_code == 422
    assert _newest(hub) == before


def test_reading_the_trail(client: Any) -> None:
    """Newest first, by pages and filters; everything for hub admins, a namespace for who administers it."""
    ann = client.new_user("ann")
    for number in range(5):
        ann.new_repo(f"ann/r{number}")
    found: list[dict[str, Any]] = []
    page: dict[str, Any] = {"next": None}
    while not found or page["next"]:
        query = {"namespace": "ann", "action": "repo.create", "limit": 2}
        page = ann.get("/audit", params={**query, **({"after": page["next"]} if page["next"] else {})}).json()
        found += page["items"]
    assert [line["repo"] for line in found] == [f"ann/r{number}" for number in reversed(range(5))]
    assert {line["user"] for line in client.get("/audit", params={"user": "ann"}).json()["items"]} == {"ann"}
    assert ann.get("/audit").status_code == 403
    assert ann.get("/audit", params={"namespace": "admin"}).status_code == 403
    assert client.as_user(None).get("/audit").status_code == 401


@pytest.mark.parametrize("offered", ["1.2.3.4", "1.2.3.4, 9.9.9.9"])
def test_only_trusted_proxies_are_believed(
    make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any], offered: str
) -> None:
    """X-Forwarded-For counts when the setting names the proxy, and is ignored otherwise."""
    headers = {"X-Forwarded-For": offered}
    for allowed, expected in {"": "testclient", "testclient": offered.rpartition(", ")[2]}.items():
        client = make_client(make_hub(forwarded_allow=allowed))
        name = f"admin/{'trusted' if allowed else 'plain'}-{len(offered)}"
        assert client.post("/repos", json={"name": name}, headers=headers).status_code == 201
        assert client.get("/audit").json()["items"][0]["address"] == expected
