"""Several writers at once: one wins, the others are told, nobody meets an accident."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from freebits_service.accounts.operations import ensure_admin, identify
from freebits_service.collection.operations import collect
from freebits_service.context import Hub
from freebits_service.models import Blob, Job, Namespace, Token, Upload, User

AT_ONCE = 8
CONTENT = b"0123456789abcdef" * 2_000


def at_once(work: Sequence[Callable[[], Any]]) -> list[Any]:
    """Results of calls that begin together."""
    together = threading.Barrier(len(work))

    def run(call: Callable[[], Any]) -> Any:
        together.wait()
        return call()

    with ThreadPoolExecutor(len(work)) as pool:
        return [future.result() for future in [pool.submit(run, call) for call in work]]


def test_commits_to_one_branch(client: Any) -> None:
    """One gets through; the others learn where the branch is now."""
    repo = client.new_repo()
    files = [{f"f{n}": CONTENT + bytes([n])} for n in range(AT_ONCE)]
    for each in files:
        client.upload(repo, next(iter(each.values())))
    replies = at_once([lambda each=each: client.commit(repo, each) for each in files])
    assert sorted(reply.status_code for reply in replies) == [201] + [409] * (AT_ONCE - 1)
    head = client.get(f"/repos/{repo}").json()["head"]
    assert {reply.json()["detail"]["head"] for reply in replies if reply.status_code == 409} == {head}


def test_the_same_files_on_many_branches(hub: Hub, client: Any) -> None:
    """Pages, trees, jobs and who holds what are made once, in whatever order; every commit gets through."""
    repo = client.new_repo()
    files = {f"d{n}/f": CONTENT + bytes([n]) for n in range(20)}
    for content in files.values():
        client.upload(repo, content)
    backwards = dict(reversed(files.items()))
    replies = at_once(
        [
            lambda n=n: client.commit(repo, files if n % 2 else backwards, branch=f"b{n}")  # type: ignore[misc]
            for n in range(AT_ONCE)
        ]
    )
    assert {reply.status_code for reply in replies} == {201}, [reply.text for reply in replies]
    with hub.db.snapshot() as session:
        assert len(session.scalars(select(Job)).all()) == len(files)


def test_the_same_content_completed_by_many(hub: Hub, client: Any) -> None:
    """One blob, one object; every upload is complete."""
    repos = [client.new_repo(f"admin/r{n}") for n in range(AT_ONCE)]
    uploads = [client.begin(repo, CONTENT).json() for repo in repos]
    for repo, upload in zip(repos, uploads, strict=True):
        for number in range(upload["part_count"]):
            client.put_part(repo, upload, number, CONTENT)
    pairs = list(zip(repos, uploads, strict=True))
    replies = at_once([lambda pair=pair: client.complete(*pair) for pair in pairs])
    assert {(reply.status_code, reply.json().get("state")) for reply in replies} == {(200, "complete")}
    assert len(list(hub.store.list("blobs/"))) == 1


def test_the_same_upload_completed_by_many(hub: Hub, client: Any) -> None:
    """A client that lost the answer asks again while the first request is still at work."""
    repo = client.new_repo()
    upload = client.begin(repo, CONTENT).json()
    for number in range(upload["part_count"]):
        client.put_part(repo, upload, number, CONTENT)
    replies = at_once([lambda: client.complete(repo, upload)] * AT_ONCE)
    assert {reply.status_code for reply in replies} == {200}
    assert client.commit(repo, {"a": CONTENT}).status_code == 201
    assert client.resolve(repo, "a").content == CONTENT


def test_one_name_taken_by_many(client: Any) -> None:
    """Repos and users: created once, a conflict for the rest."""
    for path, body in (("/repos", {"name": "admin/x", "visibility": "public"}), ("/users", {"name": "bob"})):
        replies = at_once([lambda path=path, body=body: client.post(path, json=body)] * AT_ONCE)
        assert sorted(reply.status_code for reply in replies) == [201] + [409] * (AT_ONCE - 1)


def test_the_collector_beside_commits(hub: Hub, client: Any) -> None:
    """Content that is about to be collected is either committed and stays, or is asked for again."""
    repo = client.new_repo()
    head = None
    for round_ in range(10):
        content = CONTENT + bytes([round_])
        client.upload(repo, content)
        with hub.db.transaction() as session:
            session.execute(update(Upload).values(expires_at=Upload.created_at))
        commit, _ = at_once(
            [
                lambda content=content, head=head: client.commit(repo, {"f": content}, head),  # type: ignore[misc]
                lambda: collect(hub, least_grace_s=0),
            ]
        )
        assert (commit.status_code, commit.json().get("code")) in {(201, None), (422, "BLOB_MISSING")}
        if commit.status_code == 201:
            head = commit.json()["id"]
            assert client.resolve(repo, "f").content == content


@pytest.mark.parametrize("preset", ["fb_preset-by-the-operator", ""])
def test_replicas_that_start_together_on_an_empty_database(hub: Hub, preset: str) -> None:
    """One admin, one token; every replica starts."""
    with hub.db.transaction() as session:
        session.execute(delete(User))
        session.execute(delete(Namespace))
    tokens = at_once([lambda: ensure_admin(hub.db, preset)] * AT_ONCE)
    valid = {token for token in tokens if token is not None}
    assert len(valid) == 1
    assert identify(hub.db, valid.pop()).name == "admin"
    with hub.db.snapshot() as session:
        assert [user.role for user in session.scalars(select(User))] == ["admin"]
        assert len(session.scalars(select(Token)).all()) == 1


def test_a_nul_is_refused_before_the_database(client: Any) -> None:
    """Postgres keeps none in a text: 422, not 500."""
    repo = client.new_repo()
    client.upload(repo, CONTENT)
    assert client.commit(repo, {"a": CONTENT}, message="a\0b").json()["code"] == "INVALID_REQUEST"
    assert client.get(f"/repos/{repo}/tree/a%00b").status_code in {404, 422}
    assert client.get("/jobs", params={"after": 10**30}).status_code == 422


@pytest.mark.parametrize("engine_name", ["postgres"], indirect=True)
def test_broken_connections_are_replaced(hub: Hub, client: Any) -> None:
    """After the server cut all of them the next request is answered."""
    repo = client.new_repo()
    with hub.db.engine.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert client.push(repo, {"a": CONTENT})
    with hub.db.snapshot() as session:
        assert session.scalars(select(Blob.state)).one() == "encoding"


def test_readers_see_one_moment(hub: Hub, client: Any) -> None:
    """All statements of a snapshot answer as of its first one, and it cannot write."""
    repo = client.new_repo()
    with hub.db.snapshot() as session:
        assert session.scalars(select(Blob)).all() == []
        client.push(repo, {"a": CONTENT})
        assert session.scalars(select(Blob)).all() == []
