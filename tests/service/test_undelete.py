"""Deletion is soft for a time: invisible at once, the name free at once, and back whole when asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import select, update

from freebits_service.clock import in_seconds
from freebits_service.collection.operations import collect
from freebits_service.context import Hub
from freebits_service.models import Blob, Commit, Ref, Repo, RepoBlob, Tree, TreeEntry, TreePage, TreeSpan, Upload

CONTENT = b"precious" * 1000


@pytest.fixture
def hub(make_hub: Callable[..., Hub]) -> Hub:
    """A hub whose deleted repos can come back for an hour."""
    return make_hub(delete_grace_s=3600)


@pytest.fixture
def owner(client: Any) -> Iterator[Any]:
    """Owns ``owner/model``, a public repo with two commits, a branch and a tag."""
    owner = client.new_user("owner")
    first = owner.push(owner.new_repo("owner/model"), {"a": CONTENT})
    owner.push("owner/model", {"b": b"more"}, first)
    for kind, name in (("tag", "v1"), ("branch", "dev")):
        owner.post("/repos/owner/model/refs", json={"type": kind, "name": name, "target": first})
    return owner


def delete(who: Any, repo: str = "owner/model") -> None:
    """Delete a repo."""
    assert who.request("DELETE", f"/repos/{repo}").status_code == 204


def undelete(who: Any, repo: str = "owner/model", **body: str) -> Any:
    """Bring a repo back; the answer."""
    return who.post(f"/repos/{repo}/undelete", json=body)


def long_ago(hub: Hub) -> None:
    """As if the grace periods of everything were over."""
    with hub.db.transaction() as session:
        session.execute(update(Upload).values(expires_at=Upload.created_at))
        session.execute(update(Blob).values(look_at=Blob.created_at))
        session.execute(update(Repo).where(Repo.deleted_at.is_not(None)).values(deleted_at=in_seconds(-7200)))


def test_a_deleted_repo_is_gone_for_everybody(owner: Any, client: Any) -> None:
    """Every way to it is 404, also for owner and admin, and no list shows it."""
    delete(owner)
    for who in (owner, client, client.as_user(None)):
        for path in ("", "/refs", "/commits/main", "/tree/main", "/resolve/main/a"):
            assert who.get(f"/repos/owner/model{path}").status_code == 404, path
        assert who.get("/repos").json()["items"] == []
    assert owner.begin("owner/model", b"x").status_code == 404
    assert owner.commit("owner/model", {"a": CONTENT}).status_code == 404
    assert owner.get("/repos/owner/~1").status_code == 404


def test_it_comes_back_whole(owner: Any, hub: Hub) -> None:
    """With its history, branches, tags and visibility, though the collector ran in between."""
    before = [owner.get(f"/repos/owner/model{path}").json() for path in ("", "/refs", "/commits/main", "/tree/main")]
    delete(owner)
    collect(hub, least_grace_s=0)
    assert undelete(owner).json() == before[0]
    after = [owner.get(f"/repos/owner/model{path}").json() for path in ("", "/refs", "/commits/main", "/tree/main")]
    assert after == before
    assert owner.resolve("owner/model", "a").content == CONTENT
    assert undelete(owner).status_code == 404


def test_the_name_is_free_at_once(owner: Any) -> None:
    """A new repo may take it; the old one then comes back under another name, the latest deleted first."""
    delete(owner)
    owner.push(owner.new_repo("owner/model"), {"new": b"new"})
    taken = undelete(owner)
    assert (taken.status_code, taken.json()["code"]) == (409, "REPO_EXISTS")
    assert "--as NEWNAME" in taken.json()["message"]
    delete(owner)
    owner.new_repo("owner/model")
    assert undelete(owner, **{"as": "second"}).json()["name"] == "owner/second"
    assert undelete(owner, **{"as": "first"}).json()["name"] == "owner/first"
    assert owner.resolve("owner/first", "a").content == CONTENT
    assert owner.resolve("owner/second", "new").content == b"new"
    assert undelete(owner, **{"as": "../x"}).status_code in {404, 422}


def test_only_who_owns_the_namespace_sees_and_undeletes(owner: Any, client: Any) -> None:
    """For all others there is nothing, public though it was."""
    delete(owner)
    other = client.new_user("other")
    for who in (other, client.as_user(None)):
        assert undelete(who).json()["code"] == "REPO_NOT_FOUND"
    assert other.get("/deleted-repos").json()["items"] == []
    assert client.as_user(None).get("/deleted-repos").status_code == 401
    [listed] = owner.get("/deleted-repos").json()["items"]
    assert (listed["name"], listed["visibility"]) == ("owner/model", "public")
    assert listed["deleted_at"] < listed["restorable_until"]
    assert [item["name"] for item in client.get("/deleted-repos").json()["items"]] == ["owner/model"]
    assert undelete(client).status_code == 200


def test_deleted_repos_are_paged_by_name(owner: Any) -> None:
    """Also when several had the same name."""
    for name in ("owner/b", "owner/a", "owner/b"):
        owner.new_repo(name)
        delete(owner, name)
    names, after = [], None
    while True:
        page = owner.get("/deleted-repos", params={"limit": 1, **({"after": after} if after else {})}).json()
        names += [item["name"] for item in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert names == ["owner/a", "owner/b", "owner/b"]
    assert owner.get("/deleted-repos", params={"after": "nonsense"}).status_code == 422


def test_content_of_a_deleted_repo_is_nobodys_to_commit(owner: Any, client: Any) -> None:
    """Not even by somebody who could read the repo before."""
    reader = client.new_user("reader")
    reader.new_repo("reader/copy")
    delete(owner)
    assert reader.commit("reader/copy", {"a": CONTENT}).json()["code"] == "BLOB_MISSING"


def test_after_the_grace_period_all_of_it_goes(owner: Any, hub: Hub) -> None:
    """It cannot come back, and the collector removes every row and object of it."""
    delete(owner)
    long_ago(hub)
    assert undelete(owner).status_code == 404
    collected = collect(hub, least_grace_s=0)
    assert (collected.repos, collected.blobs) == (1, 2)
    with hub.db.snapshot() as session:
        for table in (Repo, Ref, Commit, Tree, TreeSpan, TreePage, TreeEntry, RepoBlob, Upload, Blob):
            assert session.scalars(select(table)).all() == [], table
    assert list(hub.store.list("blobs/")) == []


def test_a_purge_goes_on_where_it_was_killed(owner: Any, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch by batch; a half-purged repo cannot come back, even if the grace period is made longer."""
    from freebits_service.collection import operations, purge_queries  # noqa: PLC0415

    delete(owner)
    long_ago(hub)
    monkeypatch.setattr(operations, "BATCH", 1)
    calls = 0

    def killed(session: Any, repo_id: int, limit: int) -> int:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise KeyboardInterrupt
        return purge_queries.drop_commits(session, repo_id, limit)

    with monkeypatch.context() as patched:
        patched.setattr(purge_queries, "STEPS", (purge_queries.drop_refs, killed))
        with pytest.raises(KeyboardInterrupt):
            collect(hub, least_grace_s=0)
    with hub.db.transaction() as session:
        assert len(session.scalars(select(Commit)).all()) == 1
        session.execute(update(Repo).values(deleted_at=in_seconds(0)))
    assert undelete(owner).status_code == 404
    assert owner.get("/deleted-repos").json()["items"] == []
    assert collect(hub, least_grace_s=0).repos == 1
    with hub.db.snapshot() as session:
        assert session.scalars(select(Commit)).all() == []


def test_deleted_refs_are_listed_and_can_be_restored(owner: Any, client: Any) -> None:
    """Commits never change, so a deleted branch or tag is its name and a commit: both are noted."""
    assert owner.request("DELETE", "/repos/owner/model/refs/tag/v1").status_code == 204
    assert owner.request("DELETE", "/repos/owner/model/refs/branch/dev").status_code == 204
    listed = owner.get("/repos/owner/model/deleted-refs").json()
    assert [(item["type"], item["name"], item["by"]) for item in listed["items"]] == [
        ("branch", "dev", "owner"),
        ("tag", "v1", "owner"),
    ]
    tag = listed["items"][1]
    body = {"type": tag["type"], "name": tag["name"], "target": tag["commit"]}
    assert owner.post("/repos/owner/model/refs", json=body).status_code == 201
    assert owner.resolve("owner/model", "a", "v1").content == CONTENT
    assert owner.resolve("owner/model", "b", "v1").status_code == 404
    assert client.new_user("other").get("/repos/owner/model/deleted-refs").status_code == 403


def test_refs_of_an_earlier_repo_of_the_name_are_not_listed(owner: Any) -> None:
    """Its commits are not in the new repo."""
    owner.request("DELETE", "/repos/owner/model/refs/tag/v1")
    delete(owner)
    owner.push(owner.new_repo("owner/model"), {"a": hashlib.sha256(CONTENT).digest()})
    assert owner.get("/repos/owner/model/deleted-refs").json()["items"] == []
