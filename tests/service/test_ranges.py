"""Ranges and conditions: the pure rules, and the answers of the hub against slicing."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freebits_codecs import encode
from freebits_service.downloads.ranges import ByteRange, accepts, matches_none, parse_range, range_applies
from freebits_service.errors import RangeNotSatisfiable

CONTENT = b"".join(n.to_bytes(4, "little") for n in range(600_000))  # 2.4 MB: three chunks of a container
SPANS = [
    "0-0",
    "0-",
    "-1",
    "5-5",
    "1048570-1048580",
    "1048575-1048576",
    "-2400000",
    "-9999999",
    "100-99999999",
]


def rows_of(header: str) -> bytes:
    """What slicing says the range is."""
    first, last = header.split("-")
    if not first:
        return CONTENT[-int(last) :]
    return CONTENT[int(first) : int(last) + 1] if last else CONTENT[int(first) :]


@given(st.binary(min_size=1, max_size=50), st.integers(0, 60), st.integers(0, 60))
def test_first_to_last_is_a_slice(body: bytes, first: int, last: int) -> None:
    """``a-b`` is ``body[a:b + 1]``."""
    if first >= len(body) and last >= first:
        with pytest.raises(RangeNotSatisfiable):
            parse_range(f"bytes={first}-{last}", len(body))
        return
    span = parse_range(f"bytes={first}-{last}", len(body))
    if last < first:
        assert span is None
    else:
        assert span is not None
        assert body[span.start : span.stop] == body[first : last + 1]


@given(st.binary(max_size=50), st.integers(0, 60))
def test_a_suffix_is_a_slice(body: bytes, count: int) -> None:
    """``-n`` is ``body[-n:]``, and unsatisfiable when that has no byte."""
    if count == 0 or not body:
        with pytest.raises(RangeNotSatisfiable):
            parse_range(f"bytes=-{count}", len(body))
    else:
        span = parse_range(f"bytes=-{count}", len(body))
        assert span is not None
        assert body[span.start : span.stop] == body[-count:]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "items=0-1",
        "bytes=0-1,3-4",
        "0-1",
        "bytes=5-2",
        "bytes=٣-٤",
    ],
)
def test_what_is_not_one_range_is_the_whole(header: str | None) -> None:
    """The RFC lets a server ignore what it does not understand."""
    assert parse_range(header, 100) is None


def test_huge_numbers_are_only_numbers() -> None:
    """A number of many digits lies behind the end."""
    assert parse_range("bytes=5-" + "9" * 400, 10) == ByteRange(5, 10)
    with pytest.raises(RangeNotSatisfiable):
        parse_range("bytes=" + "9" * 400 + "-", 10)


def test_if_none_match_compares_weakly() -> None:
    """Lists, stars and weak tags."""
    assert matches_none('"a", W/"b"', '"b"')
    assert matches_none("*", '"b"')
    assert not matches_none('"a"', '"b"')
    assert not matches_none(None, '"b"')


def test_if_range_needs_the_very_tag() -> None:
    """A weak tag or a date never lets a range through."""
    assert range_applies(None, '"a"')
    assert range_applies('"a"', '"a"')
    assert not range_applies('W/"a"', '"a"')
    assert not range_applies("Sun, 06 Nov 1994 08:49:37 GMT", '"a"')


def test_accept_names_the_container() -> None:
    """Only the type itself asks for a container; anything else gets plain bytes."""
    kind = "application/vnd.freebits"
    assert accepts("text/html, application/vnd.freebits;q=0.5", kind)
    assert not accepts("application/vnd.freebits;q=0", kind)
    assert not accepts("*/*", kind)
    assert not accepts(None, kind)


@pytest.fixture(params=["raw", "encoded"])
def served(request: pytest.FixtureRequest, client: Any) -> Any:
    """A hub with CONTENT at ``a``, as it is or as a container."""
    repo = client.new_repo()
    client.upload(repo, CONTENT, stored=encode(CONTENT, sha256=True) if request.param == "encoded" else None)
    assert client.commit(repo, {"a": CONTENT}).status_code == 201
    return client


def test_the_hub_answers_ranges_as_slices(served: Any) -> None:
    """The same for raw and encoded blobs, with 206 and Content-Range."""
    for span in SPANS:
        reply = served.resolve("admin/model", "a", headers={"Range": f"bytes={span}"})
        expected = rows_of(span)
        assert (reply.status_code, reply.content) == (206, expected), span
        start = len(CONTENT) - len(expected) if span.startswith("-") else int(span.partition("-")[0])
        assert reply.headers["content-range"] == f"bytes {start}-{start + len(expected) - 1}/{len(CONTENT)}"


def test_random_ranges_of_the_hub(served: Any) -> None:
    """Twenty random ranges equal slices."""
    rng = random.Random(7)
    for _ in range(20):
        start, stop = sorted(rng.sample(range(len(CONTENT)), 2))
        reply = served.resolve("admin/model", "a", headers={"Range": f"bytes={start}-{stop}"})
        assert reply.content == CONTENT[start : stop + 1]


def test_a_range_behind_the_end_is_416(served: Any) -> None:
    """With the length there is."""
    reply = served.resolve("admin/model", "a", headers={"Range": f"bytes={len(CONTENT)}-"})
    assert (reply.status_code, reply.json()["code"]) == (416, "RANGE_NOT_SATISFIABLE")
    assert reply.headers["content-range"] == f"bytes */{len(CONTENT)}"


def test_conditions_of_the_hub(served: Any) -> None:
    """304 for a known ETag, the whole for an If-Range of another."""
    whole = served.resolve("admin/model", "a")
    etag = whole.headers["etag"]
    assert whole.content == CONTENT
    known = served.resolve("admin/model", "a", headers={"If-None-Match": etag})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", etag)
    same = served.resolve("admin/model", "a", headers={"If-Range": etag, "Range": "bytes=1-2"})
    assert (same.status_code, same.content) == (206, CONTENT[1:3])
    other = served.resolve("admin/model", "a", headers={"If-Range": '"x"', "Range": "bytes=1-2"})
    assert (other.status_code, len(other.content)) == (200, len(CONTENT))


def test_head_has_the_headers_of_get(served: Any) -> None:
    """And no body."""
    get, head = (served.resolve("admin/model", "a", method=method) for method in ("GET", "HEAD"))
    varying = {"x-request-id", "date"}
    assert head.status_code == 200
    assert head.content == b""
    assert {k: v for k, v in get.headers.items() if k not in varying} == {
        k: v for k, v in head.headers.items() if k not in varying
    }
