"""Stop after each step of design's write order, then collect: a revision is whole or absent, nothing else is lost."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from freebits_service.blobs import queries as blobs
from freebits_service.blobs.keys import new_raw_key, upload_origin
from freebits_service.blobs.store import ObjectNotFound
from freebits_service.collection.operations import collect
from freebits_service.context import Hub
from freebits_service.downloads.leases import OpenBlobs
from freebits_service.models import Blob, Upload
from freebits_service.repos import queries as refs
from freebits_service.uploads import completion

CONTENT = b"content of a file" * 20_000


class Crash(Exception):
    """Stands for the end of the process: nothing in the hub handles it."""


def crash(*_: object, **__: object) -> None:
    """Stop here."""
    raise Crash


def objects(hub: Hub) -> list[str]:
    """All keys in the store."""
    return [found.name for found in hub.store.list("blobs/")]


def expire_uploads(hub: Hub) -> None:
    """As if a week had passed."""
    with hub.db.transaction() as session:
        session.execute(update(Upload).values(expires_at=Upload.created_at))
        session.execute(update(Blob).values(look_at=Blob.created_at))


def sent(client: Any, repo: str) -> dict[str, Any]:
    """An upload with all its parts."""
    upload: dict[str, Any] = client.begin(repo, CONTENT).json()
    for number in range(upload["part_count"]):
        client.put_part(repo, upload, number, CONTENT)
    return upload


def test_after_the_object_before_the_row(hub: Hub, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Step 1: the upload completes later, however often the collector runs in between."""
    repo = client.new_repo()
    upload = sent(client, repo)
    with monkeypatch.context() as patched:
        patched.setattr(completion, "_make_known", crash)
        assert client.complete(repo, upload).json()["code"] == "INTERNAL"
    assert len(objects(hub)) == 1
    assert collect(hub, least_grace_s=0).objects == 0
    assert client.complete(repo, upload).json()["state"] == "complete"
    client.commit(repo, {"a": CONTENT})
    assert client.resolve(repo, "a").content == CONTENT


def test_an_object_whose_upload_expired_is_collected(hub: Hub, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Step 1, and nobody came back."""
    repo = client.new_repo()
    upload = sent(client, repo)
    with monkeypatch.context() as patched:
        patched.setattr(completion, "_make_known", crash)
        assert client.complete(repo, upload).json()["code"] == "INTERNAL"
    expire_uploads(hub)
    collected = collect(hub, least_grace_s=0)
    assert (collected.uploads, collected.objects) == (1, 1)
    assert objects(hub) == []


def test_after_the_row_before_the_commit(hub: Hub, client: Any) -> None:
    """Step 2: the blob stays while its upload may still be committed, and goes afterwards."""
    repo = client.new_repo()
    client.upload(repo, CONTENT)
    assert collect(hub, least_grace_s=0).blobs == 0
    expire_uploads(hub)
    assert collect(hub, least_grace_s=0).blobs == 1
    assert objects(hub) == []
    assert client.commit(repo, {"a": CONTENT}).json()["code"] == "BLOB_MISSING"


@pytest.mark.parametrize("place", ["add_ref", "move_ref"])
def test_in_the_middle_of_the_commit(hub: Hub, client: Any, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Step 3 is one transaction: before its last statement there is nothing of the revision."""
    repo = client.new_repo()
    head = None if place == "add_ref" else client.push(repo, {"old": b"old"})
    client.upload(repo, CONTENT)
    with monkeypatch.context() as patched:
        patched.setattr(refs, place, crash)
        assert client.commit(repo, {"a": CONTENT}, head).json()["code"] == "INTERNAL"
    collect(hub, least_grace_s=0)
    assert client.get(f"/repos/{repo}").json()["head"] == head
    assert client.commit(repo, {"a": CONTENT}, head).status_code == 201
    assert client.resolve(repo, "a").content == CONTENT


def test_committed_content_outlives_every_collection(hub: Hub, client: Any) -> None:
    """After step 3 nothing is anybody's to clean."""
    repo = client.new_repo()
    client.push(repo, {"a": CONTENT})
    expire_uploads(hub)
    collect(hub, least_grace_s=0)
    assert client.resolve(repo, "a").content == CONTENT


def test_the_content_of_a_deleted_repo_goes(hub: Hub, client: Any) -> None:
    """Unless another repo holds it."""
    for name in ("admin/one", "admin/two"):
        client.push(client.new_repo(name), {"a": CONTENT, "b": name.encode()})
    expire_uploads(hub)
    client.request("DELETE", "/repos/admin/one")
    assert collect(hub, least_grace_s=0).blobs == 1
    assert client.resolve("admin/two", "a").content == CONTENT
    client.request("DELETE", "/repos/admin/two")
    assert collect(hub, least_grace_s=0).blobs == 2
    assert objects(hub) == []


def test_a_blob_that_is_read_is_not_collected(hub: Hub, client: Any) -> None:
    """Leases of open readers hold the collector off."""
    repo = client.new_repo()
    client.push(repo, {"a": CONTENT})
    expire_uploads(hub)
    client.request("DELETE", f"/repos/{repo}")
    with hub.db.snapshot() as session:
        blob = blobs.find_blob(session, hashlib.sha256(CONTENT).hexdigest())
    assert blob is not None
    reading = OpenBlobs()
    reading.opened(blob.id)
    reading.extend_leases(hub.db)
    assert collect(hub, least_grace_s=0).blobs == 0
    reading.closed(blob.id)
    assert reading.ids() == []
    with hub.db.transaction() as session:
        session.execute(update(Blob).values(leased_until=None, look_at=Blob.created_at))
    assert collect(hub, least_grace_s=0).blobs == 1


def test_the_grace_period_is_kept(make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any]) -> None:
    """What was unreferenced a moment ago stays."""
    hub = make_hub(grace_s=3600)
    client = make_client(hub)
    client.upload(client.new_repo(), CONTENT)
    expire_uploads(hub)
    hub.store.begin(new_raw_key("0" * 64, upload_origin("nobody")))
    collected = collect(hub)
    assert (collected.uploads, collected.blobs, collected.staged) == (1, 0, 0)


def test_staged_bytes_of_nobody_go(hub: Hub, client: Any) -> None:
    """A killed encoding leaves them; an upload in progress keeps its own."""
    upload = sent(client, client.new_repo())
    orphan = new_raw_key("0" * 64, upload_origin("nobody"))
    hub.store.begin(orphan)
    assert collect(hub, least_grace_s=0).staged == 1
    with pytest.raises(ObjectNotFound):
        hub.store.staged_parts(orphan)
    assert client.complete("admin/model", upload).status_code == 200


def test_lost_staging_begins_again(hub: Hub, client: Any) -> None:
    """When the staged bytes vanish the client is told to send them again, and can."""
    repo = client.new_repo()
    upload = sent(client, repo)
    for found in hub.store.list_staged():
        hub.store.abort(found.key)
    reply = client.complete(repo, upload)
    assert reply.json()["code"] == "PARTS_MISSING"
    for number in reply.json()["detail"]["missing"]:
        client.put_part(repo, upload, number, CONTENT)
    assert client.complete(repo, upload).status_code == 200


def test_parts_the_disk_lost_are_asked_for_again(hub: Hub, client: Any) -> None:
    """After a power cut a counted part may hold zeros: only that part is sent again."""
    repo = client.new_repo()
    upload = sent(client, repo)
    [staged] = hub.store.list_staged()
    with hub.store.write_part(staged.key, 1, upload["part_nbytes"]) as part:
        part.write([bytes(5000)])
        part.finish()
    reply = client.complete(repo, upload)
    assert (reply.json()["code"], reply.json()["detail"]["missing"]) == ("PARTS_MISSING", [1])
    client.put_part(repo, upload, 1, CONTENT)
    assert client.complete(repo, upload).status_code == 200
