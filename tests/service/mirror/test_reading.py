"""What a hub with an upstream gives its readers: what the upstream has, once it was asked for."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable
from typing import Any

from hf_client import HfClient
from sqlalchemy import select

from freebits_service.collection.operations import collect
from freebits_service.context import Hub
from freebits_service.models import Blob, Job, Repo, RepoBlob, UpstreamFile
from freebits_service.repair.findings import Report
from freebits_service.repair.operations import fsck

WEIGHTS = random.Random(5).randbytes(3_000_000)
SAME = b"the same again " * 100_000
FILES: dict[str, bytes | None] = {
    "config.json": b'{"a": 1}',
    "sub dir/model.bin": WEIGHTS,
    "model.txt": SAME,
    "empty": b"",
}
MODEL = "sub%20dir/model.bin"


def rows(hub: Hub, table: type[Any]) -> list[Any]:
    """All rows of a table."""
    with hub.db.snapshot() as session:
        return list(session.scalars(select(table)))


def blob_of(hub: Hub, content: bytes) -> Blob:
    """What the mirror knows of some content."""
    [found] = [blob for blob in rows(hub, Blob) if blob.sha256 == hashlib.sha256(content).hexdigest()]
    return found  # type: ignore[no-any-return]


def kept(hub: Hub, content: bytes) -> Blob:
    """The same once it is kept: readers have the last byte a moment before."""
    deadline = time.monotonic() + 30
    while blob_of(hub, content).state == "remote":
        assert time.monotonic() < deadline, "it was fetched and not kept"
        time.sleep(0.02)
    return blob_of(hub, content)


def test_a_revision_is_known_by_name(hub: Hub, hf: HfClient, repo: str, commit: str) -> None:
    """Info, tree and HEAD say what the upstream says, under its commit; no bytes have come for that."""
    info = hf.get(f"/api/models/{repo}/revision/main?blobs=true").json()
    assert (info["sha"], info["private"]) == (commit, False)
    assert {each["rfilename"] for each in info["siblings"]} == FILES.keys()
    listed = {each["path"]: each for each in hf.get(f"/api/models/{repo}/tree/{commit}?recursive=true").json()}
    assert listed["sub dir/model.bin"]["lfs"]["oid"] == hashlib.sha256(WEIGHTS).hexdigest()
    head = hf.request("HEAD", f"/{repo}/resolve/main/{MODEL}")
    assert (head.headers["x-repo-commit"], head.headers["content-length"]) == (commit, str(len(WEIGHTS)))
    assert blob_of(hub, WEIGHTS).state == "remote"
    assert rows(hub, RepoBlob) == []


def test_bytes_come_once(hub: Hub, hf: HfClient, upstream: Any, repo: str, commit: str) -> None:
    """The first GET fetches, verifies, keeps, and asks for an encoding; no other one asks the upstream."""
    for _ in range(3):
        reply = hf.get(f"/{repo}/resolve/{commit}/{MODEL}")
        assert (reply.status_code, reply.content) == (200, WEIGHTS)
        assert (reply.headers["x-repo-commit"], reply.headers["content-length"]) == (commit, str(len(WEIGHTS)))
    assert hf.get(f"/{repo}/resolve/main/empty").content == b""
    assert upstream.asked(f"{repo}/resolve/{commit}/{MODEL}") == 1
    assert kept(hub, WEIGHTS).state == "encoding"
    assert [(job.repo, job.path) for job in rows(hub, Job)] == [(repo, "sub dir/model.bin")]


def test_is_encoded_like_any_upload(
    hub: Hub, hf: HfClient, repo: str, commit: str, encode_all: Callable[[], None]
) -> None:
    """A worker makes a container of what was fetched, and readers do not notice."""
    assert hf.get(f"/{repo}/resolve/{commit}/model.txt").content == SAME
    kept(hub, SAME)
    encode_all()
    assert blob_of(hub, SAME).state == "encoded"
    reply = hf.get(f"/{repo}/resolve/{commit}/model.txt")
    assert (reply.content, reply.headers["x-freebits-state"]) == (SAME, "encoded")


def test_ranges_of_what_arrives(hf: HfClient, repo: str, commit: str) -> None:
    """A range is answered as one while the file is fetched for it, and one behind the end is refused."""
    reply = hf.get(f"/{repo}/resolve/{commit}/{MODEL}", headers={"Range": "bytes=1000000-1000009"})
    assert (reply.status_code, reply.content) == (206, WEIGHTS[1_000_000:1_000_010])
    assert reply.headers["content-range"] == f"bytes 1000000-1000009/{len(WEIGHTS)}"
    behind = hf.get(f"/{repo}/resolve/{commit}/config.json", headers={"Range": "bytes=8-"})
    assert behind.status_code == 416


def test_the_rest_api_reads_it_too(client: Any, repo: str, commit: str) -> None:
    """Tree, repo and files, whatever kind of repo it is there."""
    tree = client.get(f"/repos/{repo}/tree/main", params={"recursive": True}).json()
    assert tree["commit"] == commit
    assert {item["path"]: item["state"] for item in tree["items"]} == dict.fromkeys(FILES, "remote")
    assert client.resolve(repo, "sub dir/model.bin").content == WEIGHTS
    described = client.get(f"/repos/{repo}").json()
    assert (described["head"], described["mirrored_at"] is not None) == (commit, True)


def test_branches_follow(hf: HfClient, upstream: Any, repo: str, commit: str) -> None:
    """A branch that moved there has moved here; the commit before stays readable, and so does what both have."""
    assert hf.get(f"/{repo}/resolve/main/{MODEL}").content == WEIGHTS
    later = upstream.push(repo, {"config.json": b"new"}, parent=commit)
    assert hf.get(f"/api/models/{repo}/revision/main").json()["sha"] == later
    assert hf.get(f"/{repo}/resolve/main/config.json").content == b"new"
    assert hf.get(f"/{repo}/resolve/{commit}/config.json").content == FILES["config.json"]
    assert hf.get(f"/{repo}/resolve/main/{MODEL}").content == WEIGHTS
    assert upstream.asked(f"{repo}/resolve/{commit}/{MODEL}") + upstream.asked(f"{repo}/resolve/{later}/{MODEL}") == 1


def test_refs(hf: HfClient, upstream: Any, repo: str, commit: str) -> None:
    """Branches with slashes and tags are found when they are asked for, each as what it is."""
    for kind, name in (("branch", "dev/x"), ("tag", "v1")):
        body = {"type": kind, "name": name, "target": commit}
        assert upstream.client.post(f"/repos/{repo}/refs", json=body).status_code == 201
    for name in ("dev%2Fx", "v1"):
        assert hf.get(f"/{repo}/resolve/{name}/config.json").headers["x-repo-commit"] == commit
    refs = hf.get(f"/api/models/{repo}/refs").json()
    assert [[each["name"] for each in refs[group]] for group in ("branches", "tags")] == [["dev/x", "main"], ["v1"]]
    missing = hf.get(f"/{repo}/resolve/nowhere/config.json")
    assert (missing.status_code, missing.headers["x-error-code"]) == (404, "RevisionNotFound")


def test_what_is_not_there(hf: HfClient, repo: str, commit: str) -> None:
    """A repo or file that the upstream has not is 404 as elsewhere."""
    missing = hf.get("/api/models/up/none/revision/main")
    assert (missing.status_code, missing.headers["x-error-code"]) == (404, "RepoNotFound")
    absent = hf.request("HEAD", f"/{repo}/resolve/main/absent.json")
    assert (absent.status_code, absent.headers["x-error-code"]) == (404, "EntryNotFound")
    assert absent.headers["x-repo-commit"] == commit
    wrong_kind = hf.get(f"/api/datasets/{repo}/revision/main")
    assert (wrong_kind.status_code, wrong_kind.headers["x-error-code"]) == (404, "RepoNotFound")


def test_damaged_bytes_are_fetched_again(hub: Hub, hf: HfClient, upstream: Any, repo: str, commit: str) -> None:
    """What the hub lost it can have again."""
    assert hf.get(f"/{repo}/resolve/{commit}/{MODEL}").content == WEIGHTS
    key = kept(hub, WEIGHTS).raw_key
    assert key is not None
    hub.store.delete(key)
    assert fsck(hub, Report(), least_grace_s=0, repair=True).damages
    assert hf.get(f"/{repo}/resolve/{commit}/{MODEL}").content == WEIGHTS
    assert upstream.asked(f"{repo}/resolve/{commit}/{MODEL}") == 2


def test_checks_and_collection(hub: Hub, hf: HfClient, repo: str, commit: str) -> None:
    """fsck finds nothing wrong with what is awaited; the collector leaves it, and takes all of a deleted repo."""
    assert hf.get(f"/{repo}/resolve/{commit}/config.json").status_code == 200
    kept(hub, b'{"a": 1}')
    assert fsck(hub, Report(), least_grace_s=0).findings == []
    collect(hub, least_grace_s=0)
    assert len(rows(hub, Blob)) == len(FILES)
    assert hf.get(f"/{repo}/resolve/{commit}/{MODEL}").content == WEIGHTS
    kept(hub, WEIGHTS)
    assert hf.request("DELETE", "/api/repos/delete", json={"name": repo}).status_code == 200
    for _ in range(2):
        collect(hub, least_grace_s=0)
    assert [rows(hub, table) for table in (Blob, RepoBlob, UpstreamFile, Repo)] == [[], [], [], []]
    assert list(hub.store.list("blobs/")) == []
