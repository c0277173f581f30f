"""What a namespace holds and may hold, beside others who change it at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, update

from freebits_codecs import encode
from freebits_service.blobs.queries import swap_to_container
from freebits_service.context import Hub
from freebits_service.models import Blob, Namespace

CONTENT = bytes(1000) + b"weights" * 1000


@pytest.fixture
def limited(make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any]) -> Any:
    """The admin of a hub without a default quota."""
    return make_client(make_hub())


def usage(client: Any, namespace: str) -> tuple[int, int]:
    """Logical and stored bytes of a namespace."""
    found = client.get(f"/namespaces/{namespace}/usage").json()
    return found["logical_nbytes"], found["stored_nbytes"]


def assert_exact(client: Any) -> None:
    """A recount finds what was noted."""
    assert client.post("/usage/recount", json={}).json()["corrected"] == []


def test_usage_follows_what_repos_hold(limited: Any) -> None:
    """Each repo pays once for each content; deleting a file frees nothing (history has it), deleting a repo does."""
    container = encode(CONTENT)
    first, second = limited.new_repo("admin/a"), limited.new_repo("admin/b")
    head = limited.push(first, {"x": CONTENT, "y": CONTENT})
    assert usage(limited, "admin") == (len(CONTENT), len(CONTENT))
    head = limited.push(first, {"z": CONTENT}, head)
    limited.commit(first, {"x": None}, head)
    assert usage(limited, "admin") == (len(CONTENT), len(CONTENT))
    limited.push(second, {"x": CONTENT})
    assert usage(limited, "admin") == (2 * len(CONTENT), 2 * len(CONTENT))
    with limited.http.app.state.hub.db.transaction() as session:
        blob = session.scalars(select(Blob)).one()
        assert swap_to_container(session, blob.id, "k", (len(container), "0" * 64))
        assert not swap_to_container(session, blob.id, "k", (len(container), "0" * 64))
    assert usage(limited, "admin") == (2 * len(CONTENT), 2 * len(container))
    assert_exact(limited)
    limited.request("DELETE", f"/repos/{first}")
    assert usage(limited, "admin") == (len(CONTENT), len(container))
    limited.request("DELETE", f"/repos/{second}")
    assert usage(limited, "admin") == (0, 0)


def test_a_container_from_the_client_shrinks_what_others_pay(limited: Any) -> None:
    """Whoever brings the container of content that others hold raw: all of them pay for the container."""
    ann = limited.new_user("ann")
    limited.push(limited.new_repo("admin/a", "private"), {"x": CONTENT})
    container = encode(CONTENT)
    repo = ann.new_repo("ann/b")
    ann.upload(repo, CONTENT, container)
    assert ann.commit(repo, {"x": CONTENT}).status_code == 201
    assert usage(limited, "admin") == usage(ann, "ann") == (len(CONTENT), len(container))
    assert_exact(limited)


@pytest.mark.parametrize("kind", ["logical", "stored"])
def test_an_announced_upload_must_fit(limited: Any, kind: str) -> None:
    """413 QUOTA_EXCEEDED says what is used, what may be, what was wanted; uploads in progress count."""
    limited.request("PATCH", "/namespaces/admin/quota", json={f"{kind}_nbytes": 1500})
    repo = limited.new_repo("admin/a")
    assert limited.begin(repo, bytes(1000)).status_code == 201
    assert limited.begin(repo, bytes(1000)).status_code == 201, "the same content again"
    refused = limited.begin(repo, b"1" * 600)
    assert (refused.status_code, refused.json()["code"]) == (413, "QUOTA_EXCEEDED")
    expected = {"namespace": "admin", "kind": kind, "used": 1000, "limit": 1500, "wanted": 600}
    assert refused.json()["detail"] == expected
    assert "uses 1000 of 1500" in refused.json()["message"]
    limited.push(repo, {"x": bytes(1000)})
    assert limited.begin(repo, b"1" * 500).status_code == 201
    assert usage(limited, "admin") == (1000, 1000)


def test_the_commit_checks_again(limited: Any) -> None:
    """A quota that shrank, or content that needed no upload, is refused by the commit, which leaves nothing."""
    repo = limited.new_repo("admin/a")
    limited.upload(repo, CONTENT)
    limited.request("PATCH", "/namespaces/admin/quota", json={"logical_nbytes": len(CONTENT) - 1})
    refused = limited.commit(repo, {"x": CONTENT})
    assert (refused.status_code, refused.json()["code"]) == (413, "QUOTA_EXCEEDED")
    assert limited.get(f"/repos/{repo}").json()["head"] is None
    assert usage(limited, "admin") == (0, 0)
    limited.request("PATCH", "/namespaces/admin/quota", json={"logical_nbytes": "unlimited"})
    assert limited.commit(repo, {"x": CONTENT}).status_code == 201


def test_a_namespace_over_its_quota_still_deletes(limited: Any) -> None:
    """And commits what it holds already."""
    repo = limited.new_repo("admin/a")
    head = limited.push(repo, {"x": CONTENT, "y": b"1"})
    limited.request("PATCH", "/namespaces/admin/quota", json={"logical_nbytes": 0, "stored_nbytes": 0})
    head = limited.commit(repo, {"x": None}, head).json()["id"]
    assert limited.push(repo, {"again": CONTENT}, head)


def test_the_default_comes_from_the_settings(make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any]) -> None:
    """A quota of a namespace's own goes before it, and "default" goes back to it."""
    client = make_client(make_hub(quota_logical_nbytes=100))
    repo = client.new_repo("admin/a")
    assert client.begin(repo, bytes(101)).status_code == 413
    for own, status in ((200, 201), ("default", 413), ("unlimited", 201)):
        changed = client.request("PATCH", "/namespaces/admin/quota", json={"logical_nbytes": own})
        expected = {"default": 100, "unlimited": None}.get(own, own)
        assert changed.json()["logical_limit_nbytes"] == expected
        assert client.begin(repo, bytes(101)).status_code == status


def test_recounting_repairs(limited: Any) -> None:
    """Usage that went wrong (an older release ran beside this one) is set right, and the answer says whose."""
    limited.push(limited.new_repo("admin/a"), {"x": CONTENT})
    with limited.http.app.state.hub.db.transaction() as session:
        session.execute(update(Namespace).where(Namespace.name == "admin").values(logical_nbytes=7, stored_nbytes=-7))
    assert limited.post("/usage/recount", json={}).json()["corrected"] == ["admin"]
    assert usage(limited, "admin") == (len(CONTENT), len(CONTENT))
    assert limited.post("/usage/recount", json={"namespace": "nobody"}).json()["code"] == "NAMESPACE_NOT_FOUND"


def test_who_may_look_and_change(limited: Any) -> None:
    """Owners look, admins change, others are told nothing."""
    ann, eve = limited.new_user("ann"), limited.new_user("eve")
    assert ann.get("/namespaces/ann/usage").status_code == 200
    assert eve.get("/namespaces/ann/usage").json()["code"] == "NAMESPACE_NOT_FOUND"
    assert ann.request("PATCH", "/namespaces/ann/quota", json={"logical_nbytes": 1}).status_code == 403
    assert ann.post("/usage/recount", json={"namespace": "ann"}).status_code == 403


def test_usage_is_exact_beside_others(limited: Any) -> None:
    """Commits, swaps, recounts and deletions of one namespace at the same time lose no byte."""
    hub = limited.http.app.state.hub
    contents = [CONTENT + bytes([number]) for number in range(12)]
    repos = [limited.new_repo(f"admin/r{number}") for number in range(4)]
    for content in contents:
        limited.upload(repos[0], content)
    limited.push(repos[3], {content[-1:].hex(): content for content in contents})

    def commit(repo: str) -> None:
        head = None
        for content in contents:
            reply = limited.commit(repo, {content[-1:].hex(): content}, head)
            assert reply.status_code == 201, reply.text
            head = reply.json()["id"]

    def swap() -> None:
        for number in range(len(contents)):
            with hub.db.transaction() as session:
                ids = session.scalars(select(Blob.id).where(Blob.state != "encoded").order_by(Blob.id)).all()
            if ids:
                with hub.db.transaction() as session:
                    swap_to_container(session, ids[number % len(ids)], f"k{ids[number % len(ids)]}", (9, "0" * 64))

    def recount() -> None:
        for _ in range(6):
            assert limited.post("/usage/recount", json={"namespace": "admin"}).status_code == 200

    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(commit, repo) for repo in repos[:3]] + [pool.submit(swap), pool.submit(recount)]
        done.append(pool.submit(limited.request, "DELETE", f"/repos/{repos[3]}"))
        for each in done:
            each.result()
    assert_exact(limited)
    assert usage(limited, "admin")[0] == 3 * sum(map(len, contents))
