"""A hub on S3: parts and files go straight between clients and the store; what the hub promises stays."""

from __future__ import annotations

import hashlib
import random
import time
from base64 import b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy import update

from freebits_codecs import encode
from freebits_service.collection.operations import collect
from freebits_service.context import Hub
from freebits_service.jobs import queries
from freebits_service.models import Blob
from freebits_service.workers.encode import EncodeSteps
from freebits_service.workers.encoder import EncoderProcess

CONTAINER = {"Accept": "application/vnd.freebits"}
CONTENT = random.Random(3).randbytes(11 << 20)
TEXT = b"0123456789abcdef" * 30_000


@pytest.fixture
def engine_name() -> str:
    """One database is enough: the store is what these tests are about."""
    return "sqlite"


@pytest.fixture
def hub(make_hub: Callable[..., Hub], s3_place: dict[str, Any]) -> Hub:
    """A hub on S3."""
    return make_hub(**s3_place)


def urls_of(client: Any, repo: str, upload: dict[str, Any], numbers: str) -> list[dict[str, Any]]:
    """Presigned URLs for parts."""
    reply = client.get(f"/repos/{repo}/uploads/{upload['id']}/parts/urls", params={"numbers": numbers})
    assert reply.status_code == 200, reply.text
    items: list[dict[str, Any]] = reply.json()["items"]
    return items


def send(content: bytes, upload: dict[str, Any], item: dict[str, Any], **headers: str) -> httpx.Response:
    """PUT a part to the store, without a token."""
    start = item["number"] * upload["part_nbytes"]
    return httpx.put(item["url"], content=content[start : start + item["nbytes"]], headers=headers, timeout=60)


def received(client: Any, repo: str, upload: dict[str, Any]) -> list[int]:
    """What the hub says it has."""
    numbers: list[int] = client.get(f"/repos/{repo}/uploads/{upload['id']}").json()["received"]
    return numbers


def test_parts_go_to_the_store_and_through_the_hub(client: Any) -> None:
    """Both count, what is missing is told, and the whole is verified."""
    repo = client.new_repo()
    upload = client.begin(repo, CONTENT).json()
    assert (upload["direct"], upload["part_nbytes"], upload["part_count"]) == (True, 5 << 20, 3)
    assert client.put_part(repo, upload, 1, CONTENT).status_code == 200
    last, first = urls_of(client, repo, upload, "2")[0], urls_of(client, repo, upload, "0-1")[0]
    assert send(CONTENT, upload, last).status_code == 200
    assert received(client, repo, upload) == [1, 2]
    reply = client.complete(repo, upload)
    assert (reply.json()["code"], reply.json()["detail"]["missing"]) == ("PARTS_MISSING", [0])
    md5 = b64encode(hashlib.md5(CONTENT[: first["nbytes"]]).digest()).decode()
    assert send(CONTENT, upload, first, **{"Content-MD5": md5}).status_code == 200
    assert client.complete(repo, upload).json()["state"] == "complete"
    assert client.complete(repo, upload).json()["state"] == "complete"
    client.commit(repo, {"a": CONTENT})
    assert httpx.get(client.resolve(repo, "a", follow_redirects=False).headers["location"]).content == CONTENT


def test_what_the_store_took_is_verified(client: Any, hub: Hub) -> None:
    """Wrong bytes, sent straight to the store, cannot be committed; right ones in their place can."""
    repo = client.new_repo()
    upload = client.begin(repo, CONTENT).json()
    wrong = bytearray(CONTENT)
    wrong[6 << 20] ^= 1
    for item in urls_of(client, repo, upload, "0-2"):
        assert send(bytes(wrong), upload, item).status_code == 200
    assert client.complete(repo, upload).json()["code"] == "DIGEST_MISMATCH"
    assert client.commit(repo, {"a": CONTENT}).json()["code"] == "BLOB_MISSING"
    assert received(client, repo, upload) == [0, 1, 2]
    assert send(CONTENT, upload, urls_of(client, repo, upload, "1")[0]).status_code == 200
    assert client.complete(repo, upload).json()["state"] == "complete"
    assert len(list(hub.store.list("blobs/"))) == 1
    assert list(hub.store.list_staged()) == []


def test_a_part_of_the_wrong_size_is_missing(client: Any) -> None:
    """The store takes any bytes; the hub counts only parts of their full size."""
    repo = client.new_repo()
    upload = client.begin(repo, CONTENT).json()
    item = urls_of(client, repo, upload, "0")[0]
    assert httpx.put(item["url"], content=b"short").status_code == 200
    assert received(client, repo, upload) == []


def test_the_store_refuses_a_damaged_part(client: Any) -> None:
    """Content-MD5 is compared."""
    repo = client.new_repo()
    upload = client.begin(repo, CONTENT).json()
    item = urls_of(client, repo, upload, "0")[0]
    assert send(CONTENT, upload, item, **{"Content-MD5": b64encode(bytes(16)).decode()}).status_code == 400
    assert received(client, repo, upload) == []


def test_a_url_is_for_one_part_and_one_method(client: Any) -> None:
    """Another part, another method or another key have another signature."""
    repo = client.new_repo()
    upload = client.begin(repo, CONTENT).json()
    url = urls_of(client, repo, upload, "0")[0]["url"]
    assert int(parse_qs(urlsplit(url).query)["X-Amz-Expires"][0]) <= 900
    assert httpx.put(url.replace("partNumber=1", "partNumber=2"), content=b"x").status_code == 403
    assert httpx.delete(url).status_code == 403
    assert httpx.get(url).status_code == 403


@pytest.mark.parametrize("numbers", ["", "a", "3", "0-3", "2-1", "0-1000", "-1", "0,1"])
def test_numbers_that_are_no_parts_are_refused(client: Any, numbers: str) -> None:
    """And nothing is signed."""
    repo = client.new_repo()
    upload = client.begin(repo, CONTENT).json()
    reply = client.get(f"/repos/{repo}/uploads/{upload['id']}/parts/urls", params={"numbers": numbers})
    assert (reply.status_code, reply.json()["code"]) == (422, "INVALID_REQUEST")


def test_urls_are_for_the_owner_of_the_upload(client: Any) -> None:
    """Strangers and other users learn nothing."""
    repo = client.new_repo(visibility="private")
    upload = client.begin(repo, CONTENT).json()
    path = f"/repos/{repo}/uploads/{upload['id']}/parts/urls?numbers=0"
    assert client.new_user("bob").get(path).status_code == 404
    assert client.as_user(None).get(path).status_code in {401, 404}


def test_a_hub_without_direct_uploads_takes_all_parts(
    make_hub: Callable[..., Hub], make_client: Callable[..., Any], s3_place: dict[str, Any]
) -> None:
    """Both ways are settings."""
    client = make_client(make_hub(**s3_place, direct_uploads=False, redirect_downloads=False))
    repo = client.new_repo()
    upload = client.begin(repo, TEXT).json()
    assert upload["direct"] is False
    reply = client.get(f"/repos/{repo}/uploads/{upload['id']}/parts/urls?numbers=0")
    assert reply.json()["code"] == "INVALID_REQUEST"
    client.push(repo, {"a": TEXT})
    assert client.resolve(repo, "a", follow_redirects=False).content == TEXT
    part = client.resolve(repo, "a", headers={"Range": "bytes=100000-200000"})
    assert (part.status_code, part.content) == (206, TEXT[100_000:200_001])


def test_an_empty_file(client: Any) -> None:
    """No parts, and still a file."""
    repo = client.new_repo()
    client.push(repo, {"empty": b""})
    reply = httpx.get(client.resolve(repo, "empty", follow_redirects=False).headers["location"])
    assert (reply.status_code, reply.content) == (200, b"")


def test_a_read_is_sent_to_the_store(client: Any) -> None:
    """The URL carries range requests, no browser executes what it gives, and nobody may cache it."""
    repo = client.new_repo(visibility="private")
    client.push(repo, {"page.html": b"<script>alert(1)</script>"})
    reply = client.resolve(repo, "page.html", follow_redirects=False)
    assert reply.status_code == 307
    assert reply.headers["cache-control"] == "private, no-store"
    assert reply.headers["etag"] == client.resolve(repo, "page.html", method="HEAD").headers["etag"]
    there = httpx.get(reply.headers["location"], headers={"Range": "bytes=1-6"})
    assert (there.status_code, there.content) == (206, b"script")
    assert there.headers["content-type"] == "application/octet-stream"
    assert there.headers["content-disposition"] == "attachment; filename*=UTF-8''page.html"
    url = reply.headers["location"]
    assert int(parse_qs(urlsplit(url).query)["X-Amz-Expires"][0]) <= 900
    assert httpx.put(url, content=b"x").status_code == 403
    assert client.as_user(None).resolve(repo, "page.html", follow_redirects=False).status_code == 404


def test_what_the_hub_answers_itself(client: Any) -> None:
    """HEAD, a revalidation, an impossible range, and If-Range, which knows only the hub's ETag."""
    repo = client.new_repo()
    client.push(repo, {"a": TEXT})
    etag = f'"{hashlib.sha256(TEXT).hexdigest()}"'
    head = client.resolve(repo, "a", method="HEAD", follow_redirects=False)
    assert (head.status_code, head.headers["content-length"], head.headers["etag"]) == (200, str(len(TEXT)), etag)

    def get(**headers: str) -> Any:
        return client.resolve(repo, "a", headers=headers, follow_redirects=False)

    assert get(**{"If-None-Match": etag}).status_code == 304
    assert get(Range="bytes=999999999-").status_code == 416
    part = get(**{"If-Range": etag, "Range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, TEXT[:10])


def test_an_expired_url_is_refused_by_the_store(
    make_hub: Callable[..., Hub], make_client: Callable[..., Any], s3_place: dict[str, Any]
) -> None:
    """What leaks in a log is worthless soon."""
    client = make_client(make_hub(**s3_place, presign_s=1))
    repo = client.new_repo()
    client.push(repo, {"a": TEXT})
    url = client.resolve(repo, "a", follow_redirects=False).headers["location"]
    statuses: set[int] = set()
    for _ in range(60):
        statuses.add(httpx.get(url).status_code)
        if 403 in statuses:
            return
    pytest.fail(f"the URL never expired: {statuses}")


def test_a_file_is_encoded_in_the_store(client: Any, hub: Hub) -> None:
    """The worker's steps, each twice; then the container by redirect, the bytes decoded by the hub, ranges of both."""
    content = TEXT * 30
    repo = client.new_repo()
    client.push(repo, {"a": content})
    encoder = EncoderProcess(hub.settings)
    steps = EncodeSteps(hub, encoder, "w1")
    with hub.db.transaction() as session:
        job = queries.claim_job(session, ["cpu"], "w1")
    assert job is not None
    try:
        container = steps.encode(job.id, job.attempt)
        assert container is not None
        for step in (steps.verify, steps.verify, steps.swap, steps.swap):
            step(job.id, job.attempt, container)
    finally:
        encoder.stop()
    plain = client.resolve(repo, "a", follow_redirects=False)
    assert (plain.status_code, plain.content) == (200, content)
    part = client.resolve(repo, "a", headers={"Range": "bytes=5000000-5000009"})
    assert part.content == content[5_000_000:5_000_010]
    sent = client.resolve(repo, "a", headers=CONTAINER, follow_redirects=False)
    there = httpx.get(sent.headers["location"])
    assert there.headers["content-type"] == "application/vnd.freebits"
    assert hashlib.sha256(there.content).hexdigest() == container["sha256"]
    assert sent.headers["etag"] == f'"fb-{container["sha256"]}"'
    with hub.db.transaction() as session:
        session.execute(update(Blob).values(leased_until=None))  # a read above may have lasted until leases were noted
    assert collect(hub, least_grace_s=0).raw_copies == 1
    assert [found.name for found in hub.store.list("blobs/")] == [container["key"]]
    assert client.resolve(repo, "a").content == content


def test_a_container_that_was_sent_is_checked(client: Any) -> None:
    """It is decoded before it counts."""
    repo = client.new_repo()
    container = encode(TEXT, sha256=True)
    client.upload(repo, TEXT, stored=container)
    client.commit(repo, {"a": TEXT})
    assert client.resolve(repo, "a").content == TEXT
    other = encode(TEXT[::-1], sha256=True)
    changes = {
        "encoding": "freebits",
        "stored_nbytes": len(other),
        "stored_sha256": hashlib.sha256(other).hexdigest(),
    }
    upload = client.begin(client.new_repo("admin/other", "private"), TEXT + b"!", **changes).json()
    client.put_part("admin/other", upload, 0, other)
    assert client.complete("admin/other", upload).json()["code"] == "DIGEST_MISMATCH"


def test_multiparts_of_nobody_are_aborted(client: Any, hub: Hub) -> None:
    """Those of a dropped upload at once, those of an expired one and of an ended job by the collector."""
    repo = client.new_repo()
    kept, dropped = client.begin(repo, CONTENT).json(), client.begin(repo, TEXT).json()
    client.put_part(repo, kept, 0, CONTENT)
    hub.store.begin("blobs/container/00/" + "0" * 64 + ".j-77-1-aa")
    assert client.request("DELETE", f"/repos/{repo}/uploads/{dropped['id']}").status_code == 204
    assert len(list(hub.store.list_staged())) == 2
    deadline = time.monotonic() + 60
    while collect(hub, least_grace_s=0).staged == 0:  # the store's clock counts whole seconds, rounded up
        assert time.monotonic() < deadline
    assert len(list(hub.store.list_staged())) == 1
    assert received(client, repo, kept) == [0]


def test_an_upload_goes_on_when_the_store_lost_its_parts(client: Any, hub: Hub) -> None:
    """A rule of the bucket aborted the multipart: all parts are asked for again."""
    repo = client.new_repo()
    upload = client.begin(repo, CONTENT).json()
    client.put_part(repo, upload, 0, CONTENT)
    [staged] = hub.store.list_staged()
    hub.store.abort(staged.key)
    assert client.complete(repo, upload).json()["detail"]["missing"] == [0, 1, 2]
    for item in urls_of(client, repo, upload, "0-2"):
        assert send(CONTENT, upload, item).status_code == 200
    assert client.complete(repo, upload).json()["state"] == "complete"
