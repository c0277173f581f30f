"""Uploads that are hashed while they arrive: what is out of turn makes the hub read all of it again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freebits_service.uploads.in_order import MAX_REMEMBERED, InOrder

PARTS = [b"one", b"two", b"three"]
WHOLE = hashlib.sha256(b"".join(PARTS)).hexdigest()


def send(order: InOrder, number: int, content: bytes, *, counts: bool = True, keeps: bool = True) -> bool:
    """One part; whether it was in turn."""
    with order.turn("u", number, counts=counts) as turn:
        if turn.digest is not None:
            turn.digest.update(content)
        turn.is_kept = keeps
        return turn.digest is not None


def test_one_after_another() -> None:
    """The digest is there once, when all parts are."""
    order = InOrder()
    assert [send(order, number, part) for number, part in enumerate(PARTS)] == [True] * 3
    assert [order.take_digest("u", 3), order.take_digest("u", 3)] == [WHOLE, None]


def test_a_part_that_broke_off_is_sent_again() -> None:
    """What was hashed of it does not count."""
    order = InOrder()
    send(order, 0, PARTS[0])
    with suppress(ConnectionError), order.turn("u", 1, counts=True) as turn:
        turn.digest.update(b"tw")
        raise ConnectionError
    send(order, 1, b"other", keeps=False)
    assert send(order, 1, PARTS[1])
    assert send(order, 2, PARTS[2])
    assert order.take_digest("u", 3) == WHOLE


@pytest.mark.parametrize(
    "disturb",
    [
        lambda order: send(order, 0, PARTS[0]),
        lambda order: send(order, 2, PARTS[2]),
        lambda order: send(order, 1, PARTS[1], counts=False),
        lambda order: send(order, 0, PARTS[0], keeps=False),
    ],
    ids=["again", "ahead", "by another way", "again and broken off"],
)
def test_disturbed(disturb: Callable[[InOrder], bool]) -> None:
    """From then on nothing is in turn, and nobody knows the digest."""
    order = InOrder()
    assert send(order, 0, PARTS[0])
    assert not disturb(order)
    assert not send(order, 1, PARTS[1])
    assert order.take_digest("u", 3) is None


def test_two_at_once() -> None:
    """Also when both are the next one."""
    order = InOrder()
    with order.turn("u", 0, counts=True) as first, order.turn("u", 0, counts=True) as second:
        first.digest.update(PARTS[0])
        first.is_kept = True
        assert second.digest is None
    assert order.take_digest("u", 1) is None


def test_completed_while_a_part_arrives() -> None:
    """The digest of what was there before it began is not that of what is there now."""
    order = InOrder()
    send(order, 0, PARTS[0])
    with order.turn("u", 1, counts=True):
        assert order.take_digest("u", 1) is None


def test_not_more_than_so_many() -> None:
    """The oldest is forgotten, and read again at its end."""
    order = InOrder()
    send(order, 0, PARTS[0])
    for number in range(MAX_REMEMBERED):
        with order.turn(f"{number}", 0, counts=True):
            pass
    assert order.take_digest("u", 1) is None


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), max_size=8))
def test_a_digest_is_never_wrong(sent: list[tuple[int, bool, bool]]) -> None:
    """Whatever is sent in whatever order: if there is a digest it is that of what is stored."""
    order, stored = InOrder(), dict[int, bytes]()
    for step, (number, counts, keeps) in enumerate(sent):
        content = f"{number}.{step}".encode()
        send(order, number, content, counts=counts, keeps=keeps)
        stored[number] = content  # also what is not kept may have been written
    for count in range(5):
        digest = order.take_digest("u", count) if count == len(stored) else None
        if digest is not None:
            whole = b"".join(stored[number] for number in range(count))
            assert digest == hashlib.sha256(whole).hexdigest()


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_parts_of_git_lfs_sent_twice(client: Any) -> None:
    """A part that is sent again with other bytes is what is stored, and the hub notices."""
    from hf_client import HfClient, hf_digest, lfs_line  # noqa: PLC0415

    hf = HfClient(client.http, client.token)
    assert hf.create("m").status_code == 200
    content = b"0123456789abcdef" * 320_000
    [answer] = hf.batch("admin/m", "upload", content, transfers=("basic", "multipart")).json()["objects"]
    header = answer["actions"]["upload"]["header"]
    size, urls = int(header["chunk_size"]), [url for key, url in sorted(header.items()) if key.isdigit()]
    parts = [content[start : start + size] for start in range(0, len(content), size)]
    assert len(parts) == len(urls) == 5

    def put(number: int, part: bytes) -> int:
        status: int = client.http.put(urls[number], content=part).status_code
        return status

    def complete() -> Any:
        return client.http.post(answer["actions"]["upload"]["href"], json={"oid": hf_digest(content), "parts": []})

    assert [put(number, part) for number, part in enumerate(parts)] == [200] * len(parts)
    assert put(1, b"x" * size) == 200
    assert (complete().status_code, complete().json()["code"]) == (422, "DIGEST_MISMATCH")
    assert put(1, parts[1]) == 200
    assert complete().status_code == 200
    assert hf.commit("admin/m", lfs_line("x", content)).status_code == 200
    assert hf.get("/admin/m/resolve/main/x").content == content
