"""Names, paths, ranges and headers that nobody sends in good faith, as raw bytes to a real process."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPException, HTTPResponse
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

CONTENT = bytes(range(256)) * 300
PATIENCE_S = 3
SECRET = b"the weights of somebody else"
FUZZ = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)

NASTY = [
    "admin",
    "model",
    "main",
    "tree",
    "resolve",
    "commit",
    "datasets",
    "..",
    ".",
    "",
    "%2e%2e",
    "%00",
    "%ff",
    "a%2Fb",
    "%",
    "%zz",
    "~",
    "-x",
    "%F0%9F%92%A9",
]
visible = st.characters(min_codepoint=33, max_codepoint=126)
segments = st.one_of(st.sampled_from(NASTY), st.text(visible, max_size=40))
header_values = st.binary(max_size=200).map(lambda value: value.translate(None, b"\r\n\0"))
header_names = st.one_of(
    st.sampled_from(["Range", "If-Range", "If-None-Match", "Accept", "Authorization", "X-Request-Id", "Cookie"]),
    st.sampled_from(["Content-Length", "Content-Type", "Host", "Transfer-Encoding", "Expect", "X-Forwarded-For"]),
)
ranges = st.one_of(
    st.from_regex(r"bytes=[0-9]{0,25}-[0-9]{0,25}(,[0-9]{0,3}-[0-9]{0,3}){0,3}", fullmatch=True),
    st.from_regex(r"[a-z]{0,6}=?-?[0-9]{0,30}-{0,3}[0-9]{0,30}", fullmatch=True),
)


@pytest.fixture
def port(make_process: Callable[..., Any], connect: Callable[..., Any]) -> int:
    """A hub process with a public and a private repo."""
    served = make_process()
    served.start()
    client = connect(served)
    client.new_repo()
    client.push("admin/model", {"weights.bin": CONTENT})
    client.new_repo("admin/private", "private")
    client.push("admin/private", {"weights.bin": SECRET})
    return int(served.port)


def ask(port: int, method: str, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> Any:
    """Send a request as it stands; (status, headers, body), or None when the hub hangs up or waits for more."""
    lines = [method.encode() + b" " + target + b" HTTP/1.1", b"Host: hub", b"Connection: close"]
    lines += [name + b": " + value for name, value in headers]
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        with closing(HTTPResponse(connection, method=method)) as answer:
            try:
                answer.begin()
            except (HTTPException, ConnectionError, TimeoutError):
                return None
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, headers, answer.read()


def assert_no_failure(answer: Any, request: object) -> None:
    """No 5xx, nothing of the private repo, and an error says what it is."""
    if answer is None:
        return
    status, headers, body = answer
    assert status < 500 or status == 501, (request, answer)  # 501 names a feature of other hubs
    assert SECRET not in body, (request, answer)
    if body and status >= 400 and headers.get("content-type") == "application/json":
        assert json.loads(body)["code"], (request, answer)


def test_any_path(port: int) -> None:
    """Any target below the hub's paths, with any method: no failure and never somebody else's bytes."""

    @settings(FUZZ, max_examples=2 * FUZZ.max_examples)
    @given(
        st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
        st.sampled_from(
            ["/api/v1/", "/api/v1/", "/", "/api/models/", "/api/models/admin/model/", "/xet/1/v1/", "/lfs/"]
        ),
        st.lists(segments, max_size=9),
    )
    @example("GET", "/api/v1/repos/admin/", ["private", "resolve", "main", "weights.bin"])
    @example("GET", "/api/v1/repos/admin/model/resolve/main/", ["..", "..", "..", "private", "main", "weights.bin"])
    @example("GET", "/api/v1/repos/admin/model/resolve/main/", ["%2e%2e%2f%2e%2e%2fetc%2fpasswd"])
    @example("GET", "/", ["admin", "private", "resolve", "main", "weights.bin"])
    @example("GET", "/admin/model/resolve/", ["..", "..", "private", "resolve", "main", "weights.bin"])
    @example("GET", "/lfs/", ["objects", "a" * 64 + "?grant=x"])
    @example("GET", "/xet/1/v1/", ["files", "a" * 64, "xorbs", "0?grant=x"])
    @example("GET", "/xet/1/v1/", ["files", "a" * 64, "xorbs", "9" * 40 + "?grant=a.b.c"])
    @example("GET", "/xet/1/v1/", ["reconstructions", "%00"])
    @example("POST", "/api/models/admin/private/", ["paths-info", "main"])
    @example("POST", "/", ["admin", "private.git", "info", "lfs", "objects", "batch"])
    def no_failure(method: str, below: str, parts: list[str]) -> None:
        target = below + "/".join(parts)
        assert_no_failure(ask(port, method, target.encode("latin-1"), []), (method, target))

    no_failure()


def test_any_range(port: int) -> None:
    """Whatever the range, the answer is the whole file, the exact bytes it says, or 416."""

    @FUZZ
    @given(ranges)
    @example("bytes=0-0")
    @example("bytes=-0")
    @example("bytes=99999999999999999999-")
    def exact_or_refused(header: str) -> None:
        target = b"/api/v1/repos/admin/model/resolve/main/weights.bin"
        status, headers, body = ask(port, "GET", target, [(b"Range", header.encode())])
        if status == 200:
            assert body == CONTENT
        elif status == 206:
            span = headers["content-range"].removeprefix("bytes ").partition("/")[0]
            first, last = (int(digits) for digits in span.split("-"))
            assert body == CONTENT[first : last + 1] != b"", header
        else:
            assert status == 416, (header, status)

    exact_or_refused()


def test_any_headers(port: int) -> None:
    """Any value in any header that means something, on a read and on a write."""
    answers: list[Any] = []

    @FUZZ
    @given(
        st.sampled_from(["GET", "POST"]),
        st.lists(st.tuples(header_names, header_values), max_size=6),
        st.binary(max_size=64),
    )
    def no_failure(method: str, pairs: list[tuple[str, bytes]], body: bytes) -> None:
        path = b"resolve/main/weights.bin" if method == "GET" else b"uploads"
        headers = [(name.encode(), value) for name, value in pairs]
        answer = ask(port, method, b"/api/v1/repos/admin/model/" + path, headers, body)
        answers.append(answer)
        assert_no_failure(answer, (method, pairs, body))

    no_failure()
    assert sum(answer is not None for answer in answers) > len(answers) / 2


def test_any_token(port: int) -> None:
    """A token that nobody issued is 401, whatever it is made of; a private repo stays unseen."""
    target = b"/api/v1/repos/admin/private/resolve/main/weights.bin"
    for token in (b"", b"x", b"\xff\xfe", b"a" * 8000, b"fb_" + b"A" * 43, b"fb_ x", b"null"):
        answer = ask(port, "GET", target, [(b"Authorization", b"Bearer " + token)])
        assert answer is None or answer[0] in {400, 401, 431}, (token, answer)
