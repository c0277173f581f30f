"""Nobody is believed: neither an upstream that lies nor readers who would have something through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hf_client import HfClient, file_line, hf_digest, lfs_line
from pydantic import SecretStr
from sqlalchemy import select
from upstream import COMMIT, Listing, listing_upstream

from freebits_service.context import Hub
from freebits_service.mirror import upstream as upstream_requests
from freebits_service.models import Blob, Repo

# What of this depends on the database is in test_reading.py, too.
pytestmark = pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)

SHORT, LARGE = b"short words", b"large words " * 10_000


@pytest.fixture
def listing() -> Listing:
    """A repo with a short and a large file."""
    return Listing({"config.json": SHORT, "model.bin": LARGE}, lfs=frozenset({"model.bin"}))


@pytest.fixture
def address(listing: Listing) -> Iterator[str]:
    """Where that is served."""
    with listing_upstream(listing) as url:
        yield url


@pytest.fixture
def make_mirror(
    make_hub: Callable[..., Hub], make_client: Callable[..., Any], address: str
) -> Callable[..., tuple[Hub, Any]]:
    """Makes hubs that mirror it, each with its admin."""

    def make(**settings: Any) -> tuple[Hub, Any]:
        hub = make_hub(upstream=address, upstream_refresh_s=0, **settings)
        return hub, make_client(hub)

    return make


@pytest.fixture
def mirror(make_mirror: Callable[..., tuple[Hub, Any]]) -> tuple[Hub, Any]:
    """One of them."""
    return make_mirror()


def reader(mirror: tuple[Hub, Any]) -> HfClient:
    """A stranger who reads from it."""
    return HfClient(mirror[1].http, None)


def names(hub: Hub) -> list[str]:
    """The repos of a hub."""
    with hub.db.snapshot() as session:
        return [repo.full_name for repo in session.scalars(select(Repo))]


def test_short_files_by_the_sha1_of_git(mirror: tuple[Hub, Any], listing: Listing) -> None:
    """Where the upstream tells no SHA-256 the bytes come with the revision, and have one here."""
    hf = reader(mirror)
    head = hf.request("HEAD", "/a/b/resolve/main/config.json")
    assert (head.headers["etag"], head.headers["x-repo-commit"]) == (f'"{hf_digest(SHORT)}"', COMMIT)
    assert [hf.get(f"/a/b/resolve/main/{path}").content for path in listing.files] == [SHORT, LARGE]
    assert hf.get("/a/b/resolve/v1/config.json").content == SHORT
    assert [each["name"] for each in hf.get("/api/models/a/b/refs").json()["tags"]] == ["v1"]


@pytest.mark.parametrize(
    "lie",
    [
        {"sent": {"config.json": b"other words"}},
        {"sent": {"config.json": b"longer words than announced"}},
        {"sent": {"config.json": b""}},
        {"listed": {"config.json": {"size": 1 << 40}}},
        {"listed": {"config.json": {"path": "../up"}}},
        {"listed": {"config.json": {"path": "a\\b"}}},
        {"listed": {"config.json": {"path": "absent"}}},
        {"listed": {"config.json": {"path": "model.bin/x"}}, "sent": {"model.bin/x": SHORT}},
        {"listed": {"config.json": {"oid": "no"}}},
        {"listed": {"model.bin": {"lfs": {"oid": "no", "size": 1}}}},
        {"listed": {"model.bin": {"lfs": {"oid": "a" * 64, "size": 1 << 60}}}},
        {"listed": {"model.bin": {"lfs": {"oid": "a" * 64, "size": -1}}}},
        {"facts": {"sha": "main"}},
        {"facts": {"sha": "../../x"}},
    ],
    ids=str,
)
def test_lies_about_a_revision(mirror: tuple[Hub, Any], listing: Listing, lie: dict[str, Any]) -> None:
    """A listing that cannot be, or bytes that are not those listed: told as what it is, and nothing is kept."""
    hub = mirror[0]
    for name, value in lie.items():
        getattr(listing, name).update(value)
    reply = reader(mirror).get("/api/models/a/b/revision/main")
    assert (reply.status_code, reply.json()["code"]) == (502, "UPSTREAM_WRONG")
    assert names(hub) == []


@pytest.mark.parametrize("sent", [b"x" * len(LARGE), LARGE + b"more"], ids=["other", "more"])
def test_other_bytes_than_announced(mirror: tuple[Hub, Any], listing: Listing, sent: bytes) -> None:
    """Nobody gets all of a wrong file, and nothing of it is kept; when the upstream is right again, so is the hub."""
    hub, hf = mirror[0], reader(mirror)
    listing.sent["model.bin"] = sent
    reply = hf.get("/a/b/resolve/main/model.bin")
    assert (reply.status_code, reply.json()["code"]) == (502, "UPSTREAM_WRONG")
    with hub.db.snapshot() as session:
        assert {blob.state for blob in session.scalars(select(Blob)) if blob.nbytes == len(LARGE)} == {"remote"}
    listing.sent.clear()
    assert hf.get("/a/b/resolve/main/model.bin").content == LARGE


def test_too_many_files(make_mirror: Callable[..., tuple[Hub, Any]], listing: Listing) -> None:
    """A listing without end ends."""
    mirror = make_mirror(max_commit_operations=1)
    assert reader(mirror).get("/api/models/a/b/revision/main").json()["code"] == "UPSTREAM_WRONG"
    assert names(mirror[0]) == []


def test_a_listing_without_end(mirror: tuple[Hub, Any], listing: Listing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders alone, page after page, end too; and no link leads to another host."""
    monkeypatch.setattr(upstream_requests, "MAX_PAGES", 20)
    listing.endless, listing.files = True, {"folder": b""}
    listing.listed["folder"] = {"type": "directory"}
    assert reader(mirror).get("/api/models/a/b/revision/main").json()["code"] == "UPSTREAM_WRONG"
    assert sum("/tree/" in path for path in listing.asked) == 20


def test_the_token_is_for_the_upstream_alone(make_mirror: Callable[..., tuple[Hub, Any]], listing: Listing) -> None:
    """Led to another host for the bytes, as by the Hugging Face Hub, the mirror follows and does not show it there."""
    store = Listing(listing.files)
    with listing_upstream(store) as listing.elsewhere:
        mirror = make_mirror(upstream_token=SecretStr("hf_secret"))
        assert reader(mirror).get("/a/b/resolve/main/model.bin").content == LARGE
    assert set(listing.tokens) == {"Bearer hf_secret"}
    assert set(store.tokens) == {None}


def test_led_in_circles(mirror: tuple[Hub, Any], listing: Listing, address: str) -> None:
    """Not for long."""
    listing.elsewhere = address
    assert reader(mirror).get("/api/models/a/b/revision/main").status_code == 503
    assert len(listing.asked) < 20


def test_a_digest_is_no_proof(make_mirror: Callable[..., tuple[Hub, Any]], listing: Listing) -> None:
    """An upstream that names the digest of a private file does not make that readable: it has to send the bytes."""
    hub, admin = make_mirror()
    secret = b"secret words " * 9_999
    admin.push(admin.new_repo("admin/private", "private"), {"secret.bin": secret})
    listing.files["leak.bin"], listing.lfs = secret, frozenset({"model.bin", "leak.bin"})
    listing.sent["leak.bin"] = b"?" * len(secret)
    hf = reader((hub, admin))
    assert hf.request("HEAD", "/a/b/resolve/main/leak.bin").status_code == 200
    for headers in ({}, {"Range": "bytes=0-99"}, {"Accept": "application/vnd.freebits"}):
        assert b"secret" not in hf.get("/a/b/resolve/main/leak.bin", headers=headers).content
    user = admin.new_user("eve")
    user.new_repo("eve/mine")
    stolen = HfClient(admin.http, user.token).commit("eve/mine", lfs_line("x", secret))
    assert stolen.status_code != 200
    assert "actions" in HfClient(admin.http, user.token).batch("eve/mine", "upload", secret).json()["objects"][0]


def test_what_a_name_is_belongs_to_this_hub(mirror: tuple[Hub, Any], listing: Listing) -> None:
    """The upstream is never asked for repos that are here, nor for any in the namespace of somebody here."""
    _, admin = mirror
    admin.new_user("ada")
    assert admin.post("/orgs", json={"name": "labs"}).status_code == 201
    admin.push(admin.new_repo("open/own"), {"x": b"own"})
    hf = reader(mirror)
    for name in ("ada/b", "labs/b", "admin/b"):
        assert hf.get(f"/api/models/{name}/revision/main").status_code == 404
    assert hf.get("/open/own/resolve/main/x").content == b"own"
    assert hf.get("/open/own/resolve/v1/x").status_code == 404
    assert listing.asked == []


def test_nobody_writes_to_a_mirror(mirror: tuple[Hub, Any]) -> None:
    """Not even an admin, by any protocol; names of mirrored namespaces are not for users; deleting is allowed."""
    _, admin = mirror
    hf = HfClient(admin.http, admin.token)
    assert hf.get("/api/models/a/b").status_code == 200
    refused = [
        hf.commit("a/b", file_line("x", b"x")),
        hf.batch("a/b", "upload", b"x"),
        hf.get("/api/models/a/b/xet-write-token/main"),
        hf.post("/api/models/a/b/branch/new", json={}),
        hf.post("/api/repos/move", json={"fromRepo": "a/b", "toRepo": "admin/b"}),
        admin.begin("a/b", b"x"),
        admin.commit("a/b", {"config.json": None}, COMMIT),
    ]
    assert [(reply.status_code, reply.json()["code"]) for reply in refused] == [(403, "MIRROR_READ_ONLY")] * 7
    taken = admin.post("/users", json={"name": "a"})
    assert (taken.status_code, taken.json()["code"]) == (409, "USER_EXISTS")
    assert hf.request("DELETE", "/api/repos/delete", json={"name": "a/b"}).status_code == 200


@pytest.mark.parametrize("facts", [{"private": True}, {"gated": "manual"}], ids=["private", "gated"])
def test_what_is_not_open_there(mirror: tuple[Hub, Any], listing: Listing, facts: dict[str, Any]) -> None:
    """What only the hub's token may read there only admins may read here, until one of them decides otherwise."""
    _, admin = mirror
    listing.facts.update(facts)
    assert reader(mirror).get("/a/b/resolve/main/model.bin").status_code == 404
    assert HfClient(admin.http, admin.token).get("/a/b/resolve/main/model.bin").content == LARGE
    assert admin.request("PATCH", "/repos/a/b", json={"visibility": "public"}).status_code == 200
    assert reader(mirror).get("/a/b/resolve/main/model.bin").content == LARGE


def test_repos_of_one_name(mirror: tuple[Hub, Any], listing: Listing) -> None:
    """Readers are led to the full name without leaving the hub; an unknown one is 404, as on a hub without upstream."""
    hf = reader(mirror)
    led = hf.request("HEAD", "/gpt2/resolve/main/model.bin", follow_redirects=False)
    assert (led.status_code, led.headers["location"]) == (307, "/openai-community/gpt2/resolve/main/model.bin")
    assert hf.get("/gpt2/resolve/main/model.bin").content == LARGE
    assert (
        hf.get("/api/models/gpt2/tree/main?recursive=true").json()
        == hf.get("/api/models/openai-community/gpt2/tree/main?recursive=true").json()
    )
    assert hf.get("/api/models/gpt2").json()["id"] == "openai-community/gpt2"
    assert listing.asked.count("/api/models/gpt2") == 1
    assert hf.get("/api/models/unknown").json()["code"] == "REPO_NOT_FOUND"
    for odd in ("/api/models/..%2Fx", "/%2Fx/resolve/main/y", "/a%0d%0ab/resolve/main/y"):
        assert hf.get(odd).status_code in {404, 422}


def test_closed_there_later(mirror: tuple[Hub, Any], listing: Listing) -> None:
    """What was open and is closed there is closed here when that is seen; what an admin opens after that stays open."""
    _, admin = mirror
    assert reader(mirror).get("/a/b/resolve/main/model.bin").content == LARGE
    listing.facts["private"] = True
    assert reader(mirror).get("/api/models/a/b/revision/main").status_code == 404
    assert reader(mirror).get("/a/b/resolve/main/model.bin").status_code == 404
    assert admin.request("PATCH", "/repos/a/b", json={"visibility": "public"}).status_code == 200
    assert reader(mirror).get("/a/b/resolve/main/model.bin").content == LARGE


def test_users_only(make_mirror: Callable[..., tuple[Hub, Any]], listing: Listing) -> None:
    """Strangers make the hub fetch nothing, if it is set so, and read what users had fetched."""
    mirror = make_mirror(upstream_users_only=True)
    _, admin = mirror
    hf, ada = reader(mirror), HfClient(admin.http, admin.new_user("ada").token)
    assert hf.get("/api/models/a/b").status_code == 404
    assert listing.asked == []
    assert ada.get("/api/models/a/b").status_code == 200
    assert hf.get("/a/b/resolve/main/config.json").content == SHORT
    assert hf.get("/a/b/resolve/main/model.bin").status_code == 401
    assert ada.get("/a/b/resolve/main/model.bin").content == LARGE


def test_quota_of_a_mirrored_namespace(make_mirror: Callable[..., tuple[Hub, Any]]) -> None:
    """The default is not for it; one of its own is, and tells readers why a file does not come."""
    mirror = make_mirror(quota_logical_nbytes=1)
    _, admin = mirror
    hf = reader(mirror)
    assert hf.get("/a/b/resolve/main/config.json").content == SHORT
    assert admin.request("PATCH", "/namespaces/a/quota", json={"logical_nbytes": 100}).status_code == 200
    assert hf.get("/a/b/resolve/main/model.bin").json()["code"] == "QUOTA_EXCEEDED"
    assert admin.request("PATCH", "/namespaces/a/quota", json={"logical_nbytes": "default"}).status_code == 200
    assert hf.get("/a/b/resolve/main/model.bin").content == LARGE


def test_short_files_that_did_not_change(mirror: tuple[Hub, Any], listing: Listing) -> None:
    """A new commit fetches only what is new in it."""
    hf = reader(mirror)
    assert hf.get("/a/b/resolve/main/config.json").content == SHORT
    listing.facts["sha"], listing.files["new.json"] = "d" * 40, b"new words"
    assert hf.get("/a/b/resolve/main/config.json").headers["x-repo-commit"] == "d" * 40
    assert hf.get(f"/a/b/resolve/{'d' * 40}/new.json").content == b"new words"
    fetched = [path.rpartition("/")[2] for path in listing.asked if "/resolve/" in path]
    assert fetched == ["config.json", "new.json"]
