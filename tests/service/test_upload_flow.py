"""Uploads: resumed, re-sent, wrong, too large; and what they let a caller do."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from freebits_codecs import encode

RNG = random.Random(20)
CONTENT = RNG.randbytes(3 * 64 * 1024 + 17)


def test_a_file_comes_back_as_it_was_sent(client: Any) -> None:
    """Upload, commit, resolve gives the same bytes."""
    repo = client.new_repo()
    commit = client.push(repo, {"weights/model.bin": CONTENT})
    reply = client.resolve(repo, "weights/model.bin")
    assert reply.content == CONTENT
    assert reply.headers["x-freebits-commit"] == commit
    assert reply.headers["etag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'


def test_parts_arrive_in_any_order_and_more_than_once(client: Any) -> None:
    """The order of parts and their repetition make no difference."""
    repo = client.new_repo()
    upload = client.begin(repo, CONTENT).json()
    assert upload["part_count"] == 4
    for number in [3, 1, 1, 0, 2, 3]:
        reply = client.put_part(repo, upload, number, CONTENT)
        assert reply.status_code == 200
        assert reply.json()["number"] == number
    assert client.complete(repo, upload).json()["state"] == "complete"
    assert client.complete(repo, upload).status_code == 200


def test_an_upload_tells_what_it_has_and_what_is_missing(client: Any) -> None:
    """After a cut the client learns which parts to send."""
    repo = client.new_repo()
    upload = client.begin(repo, CONTENT).json()
    client.put_part(repo, upload, 2, CONTENT)
    assert client.get(f"/repos/{repo}/uploads/{upload['id']}").json()["received"] == [2]
    reply = client.complete(repo, upload)
    assert (reply.status_code, reply.json()["code"]) == (422, "PARTS_MISSING")
    assert reply.json()["detail"]["missing"] == [0, 1, 3]


def test_a_part_of_the_wrong_length_is_refused(client: Any) -> None:
    """A short or long part is a mismatch and does not count."""
    repo = client.new_repo()
    upload = client.begin(repo, CONTENT).json()
    path = f"/repos/{repo}/uploads/{upload['id']}/parts/0"
    for wrong in [b"short", CONTENT[: upload["part_nbytes"] + 1]]:
        reply = client.request("PUT", path, content=wrong)
        assert (reply.status_code, reply.json()["code"]) == (422, "PART_MISMATCH")
    chunked = client.request("PUT", path, content=iter([b"a" * 1000, b"b" * 1000]))
    assert chunked.json()["code"] == "PART_MISMATCH"
    assert client.get(f"/repos/{repo}/uploads/{upload['id']}").json()["received"] == []


def test_a_part_with_the_wrong_digest_is_refused(client: Any) -> None:
    """X-Part-SHA256 is compared while receiving."""
    repo = client.new_repo()
    upload = client.begin(repo, CONTENT).json()
    reply = client.put_part(repo, upload, 0, CONTENT, headers={"X-Part-SHA256": "0" * 64})
    assert (reply.status_code, reply.json()["code"]) == (422, "PART_MISMATCH")
    good = hashlib.sha256(CONTENT[: upload["part_nbytes"]]).hexdigest()
    assert client.put_part(repo, upload, 0, CONTENT, headers={"X-Part-SHA256": good}).status_code == 200


def test_a_part_that_does_not_exist_is_refused(client: Any) -> None:
    """Parts count from 0 to part_count - 1."""
    repo = client.new_repo()
    upload = client.begin(repo, CONTENT).json()
    reply = client.request("PUT", f"/repos/{repo}/uploads/{upload['id']}/parts/4", content=b"x")
    assert reply.json()["code"] == "INVALID_REQUEST"


def test_wrong_content_is_found_at_completion(client: Any) -> None:
    """Bytes other than announced are refused, and cannot be committed."""
    repo = client.new_repo()
    upload = client.begin(repo, CONTENT).json()
    other = bytes(len(CONTENT))
    for number in range(upload["part_count"]):
        client.put_part(repo, upload, number, other)
    reply = client.complete(repo, upload)
    assert (reply.status_code, reply.json()["code"]) == (422, "DIGEST_MISMATCH")
    assert client.commit(repo, {"a": CONTENT}).json()["code"] == "BLOB_MISSING"


def test_an_upload_goes_on_after_wrong_parts_were_sent_again(client: Any) -> None:
    """A digest mismatch is repaired by sending the right parts."""
    repo = client.new_repo()
    upload = client.begin(repo, CONTENT).json()
    for number in range(upload["part_count"]):
        client.put_part(repo, upload, number, bytes(len(CONTENT)) if number == 1 else CONTENT)
    assert client.complete(repo, upload).status_code == 422
    client.put_part(repo, upload, 1, CONTENT)
    assert client.complete(repo, upload).status_code == 200


def test_an_empty_file_has_no_parts(client: Any) -> None:
    """Zero bytes complete at once and come back."""
    repo = client.new_repo()
    client.push(repo, {"empty": b""})
    reply = client.resolve(repo, "empty")
    assert (reply.status_code, reply.content, reply.headers["content-length"]) == (200, b"", "0")


def test_a_container_is_decoded_before_it_is_accepted(client: Any) -> None:
    """An encoded upload is readable as plain bytes and as the container."""
    repo = client.new_repo()
    content = b"0123456789abcdef" * 20_000
    container = encode(content, sha256=True)
    client.upload(repo, content, stored=container)
    client.commit(repo, {"model.bin": content})
    plain = client.resolve(repo, "model.bin")
    assert plain.content == content
    assert plain.headers["x-freebits-state"] == "encoded"
    sent = client.resolve(repo, "model.bin", headers={"Accept": "application/vnd.freebits"})
    assert sent.content == container
    assert sent.headers["content-type"] == "application/vnd.freebits"
    assert sent.headers["etag"] == f'"fb-{hashlib.sha256(container).hexdigest()}"'


@pytest.mark.parametrize("damage", ["flip", "cut", "noise", "other", "empty"])
def test_a_hostile_container_is_refused(client: Any, damage: str) -> None:
    """A container that does not decode to the announced file is a mismatch, whatever is wrong with it."""
    repo = client.new_repo()
    content = b"0123456789abcdef" * 20_000
    container = bytearray(encode(content, sha256=True))
    if damage == "flip":
        container[60] ^= 0x10
    stored = {
        "flip": bytes(container),
        "cut": bytes(container[:-9]),
        "noise": RNG.randbytes(5000),
        "other": encode(content[::-1], sha256=True),
        "empty": b"",
    }[damage]
    reply = client.begin(
        repo,
        content,
        encoding="freebits",
        stored_nbytes=len(stored),
        stored_sha256=hashlib.sha256(stored).hexdigest(),
    )
    upload = reply.json()
    for number in range(upload["part_count"]):
        client.put_part(repo, upload, number, stored)
    refused = client.complete(repo, upload)
    assert (refused.status_code, refused.json()["code"]) == (422, "DIGEST_MISMATCH")
    assert client.commit(repo, {"a": content}).json()["code"] == "BLOB_MISSING"


def test_identity_uploads_must_announce_one_digest(client: Any) -> None:
    """Sizes and digests that contradict each other are refused before bytes are sent."""
    repo = client.new_repo()
    assert client.begin(repo, CONTENT, stored_nbytes=5).json()["code"] == "INVALID_REQUEST"
    assert client.begin(repo, CONTENT, encoding="freebits", stored_nbytes=len(CONTENT) * 2).status_code == 422


def test_a_file_beyond_the_limit_is_refused(make_hub: Callable[..., Any], make_client: Callable[..., Any]) -> None:
    """The largest file is a setting."""
    client = make_client(make_hub(max_file_nbytes=1000))
    repo = client.new_repo()
    reply = client.begin(repo, bytes(1001))
    assert (reply.status_code, reply.json()["code"]) == (413, "TOO_LARGE")


def test_a_dropped_upload_is_gone(client: Any) -> None:
    """DELETE forgets the upload."""
    repo = client.new_repo()
    upload = client.begin(repo, CONTENT).json()
    assert client.request("DELETE", f"/repos/{repo}/uploads/{upload['id']}").status_code == 204
    assert client.put_part(repo, upload, 0, CONTENT).json()["code"] == "UPLOAD_NOT_FOUND"


def test_known_content_is_not_sent_again(client: Any) -> None:
    """Content of a repo one may read needs no bytes."""
    client.push(client.new_repo(), {"a": CONTENT})
    other = client.new_repo("admin/other")
    reply = client.begin(other, CONTENT)
    assert (reply.status_code, reply.json()["state"]) == (200, "complete")
    assert client.commit(other, {"b": CONTENT}).status_code == 201


def test_knowing_a_digest_is_not_having_the_content(client: Any) -> None:
    """Content of a private repo can be neither committed nor detected by others."""
    client.push(client.new_repo("admin/secret", "private"), {"a": CONTENT})
    mallory = client.new_user("mallory")
    repo = mallory.new_repo("mallory/copy")
    assert mallory.begin(repo, CONTENT).status_code == 201
    assert mallory.commit(repo, {"a": CONTENT}).json()["code"] == "BLOB_MISSING"
    mallory.upload(repo, CONTENT)
    assert mallory.commit(repo, {"a": CONTENT}).status_code == 201


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_a_part_that_ends_after_its_upload(make_process: Callable[..., Any], connect: Callable[..., Any]) -> None:
    """What is verified stays: a part that is still arriving when its upload is completed changes nothing any more."""
    served = make_process("--no-worker")
    served.start()
    client = connect(served)
    repo, content = client.new_repo(), b"right" * 20_000
    upload = client.begin(repo, content).json()
    for number in range(upload["part_count"]):
        assert client.put_part(repo, upload, number, content).status_code == 200
    completed = threading.Event()

    def late() -> Iterator[bytes]:
        yield b"w" * 1000
        assert completed.wait(30)
        yield b"w" * (upload["part_nbytes"] - 1000)

    path = f"/repos/{repo}/uploads/{upload['id']}/parts/0"
    headers = {"Content-Length": str(upload["part_nbytes"])}
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(client.request, "PUT", path, content=late(), headers=headers)
        time.sleep(1)
        assert client.complete(repo, upload).json()["state"] == "complete"
        completed.set()
        reply = sending.result()
    assert (reply.status_code, reply.json()["code"]) == (404, "UPLOAD_NOT_FOUND")
    assert client.commit(repo, {"x": content}).status_code == 201
    assert client.resolve(repo, "x", headers={"Range": "bytes=0-"}).content == content
