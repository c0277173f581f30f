"""Bytes over http.client: redirects, broken connections, proxies."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from answering import send, serving

from freebits.blob_http import BlobTransport
from freebits.certificates import Certificates
from freebits.connections import Connections
from freebits.errors import ProtocolError, TransportError
from freebits.retry import Retry
from freebits.steps import PutPart


@contextmanager
def transport(endpoint: str, *, retries: int = 0) -> Iterator[BlobTransport]:
    """A transport with a token that fails fast."""
    used = BlobTransport(
        endpoint,
        "secret",
        Retry(retries, first_wait_s=0.01),
        5.0,
        Certificates(),
    )
    yield used
    used.close()


def test_connections_are_reused() -> None:
    """Ten ranges, one connection."""
    ports = set()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        ports.add(handler.client_address[1])
        send(handler, 206, b"0123456789")

    with serving(answer) as endpoint, transport(endpoint) as blobs:
        for _ in range(10):
            assert bytes(blobs.get_range("/x", {}, 0, 10).body) == b"0123456789"
    assert len(ports) == 1


def test_a_connection_that_comes_back_late_is_not_kept() -> None:
    """Whoever still read when all was closed does not leave a socket behind."""
    with serving(lambda handler: send(handler, 200)) as endpoint:
        url = urlsplit(endpoint)
        connections = Connections(5.0, Certificates())
        connection = connections.take(url)
        connection.request("GET", "/")
        connection.getresponse().read()
        connections.close()
        connections.give_back(url, connection)
        assert connection.sock is None


def test_a_redirect_to_another_host_carries_no_token() -> None:
    """A presigned store address gets the range, not the token."""
    seen: list[dict[str, str]] = []

    def store(handler: BaseHTTPRequestHandler) -> None:
        seen.append(dict(handler.headers))
        send(handler, 206, b"bytes")

    with (
        serving(store) as elsewhere,
        serving(lambda handler: send(handler, 307, Location=f"{elsewhere}/blob?signature=1")) as endpoint,
        transport(endpoint) as blobs,
    ):
        assert bytes(blobs.get_range("/x", {}, 0, 5).body) == b"bytes"
    assert "Authorization" not in seen[0]
    assert seen[0]["Range"] == "bytes=0-4"


def test_a_redirect_on_the_same_host_keeps_the_token() -> None:
    """It is the same hub."""
    seen: list[str | None] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.headers.get("Authorization"))
        if handler.path == "/x":
            send(handler, 302, Location="/y")
        else:
            send(handler, 206, b"bytes")

    with serving(answer) as endpoint, transport(endpoint) as blobs:
        blobs.get_range("/x", {}, 0, 5)
    assert seen == ["Bearer secret"] * 2


def test_a_redirect_loop_ends() -> None:
    """After five redirects."""
    with (
        serving(lambda handler: send(handler, 302, Location="/x")) as endpoint,
        transport(endpoint) as blobs,
        pytest.raises(ProtocolError, match="redirects"),
    ):
        blobs.get_range("/x", {}, 0, 5)


def test_a_connection_that_breaks_is_tried_again() -> None:
    """The body ends early twice, then comes whole."""
    tries: list[int] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        tries.append(1)
        handler.send_response(206)
        handler.send_header("Content-Length", "10")
        handler.end_headers()
        handler.wfile.write(b"0123456789"[: 10 if len(tries) == 3 else 4])
        handler.close_connection = True

    with serving(answer) as endpoint, transport(endpoint, retries=3) as blobs:
        assert bytes(blobs.get_range("/x", {}, 0, 10).body) == b"0123456789"
    assert len(tries) == 3


def test_overload_is_tried_again_when_the_hub_says() -> None:
    """503 with Retry-After, then the answer."""
    tries: list[int] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        tries.append(1)
        if len(tries) == 1:
            send(handler, 503, Retry_After="0")
        else:
            send(handler, 206, b"ok")

    with serving(answer) as endpoint, transport(endpoint, retries=1) as blobs:
        assert bytes(blobs.get_range("/x", {}, 0, 2).body) == b"ok"


def test_nobody_there() -> None:
    """The message says what to check and that a rerun resumes."""
    with transport("http://127.0.0.1:9") as blobs, pytest.raises(TransportError, match="resumes") as caught:
        blobs.get_range("/x", {}, 0, 2)
    assert "secret" not in str(caught.value)


def test_a_body_longer_than_asked_for_is_refused() -> None:
    """Something stripped the Range header, or lies: no memory is spent on it."""
    with (
        serving(lambda handler: send(handler, 200, bytes(1000))) as endpoint,
        transport(endpoint) as blobs,
        pytest.raises(ProtocolError, match="Range"),
    ):
        blobs.get_range("/x", {}, 0, 10)


def test_a_refused_part_is_reported_though_it_was_not_read(tmp_path: Path) -> None:
    """The hub answers 507 and closes before it has read the body."""
    (tmp_path / "part").write_bytes(bytes(8 << 20))

    def answer(handler: BaseHTTPRequestHandler) -> None:
        send(handler, 507, b'{"code": "STORAGE_FULL", "message": "full"}', Connection="close")
        handler.close_connection = True

    counted: list[int] = []
    part = PutPart("/p", tmp_path / "part", 0, 8 << 20, lambda nbytes: counted.append(nbytes) or True)
    with (
        serving(answer) as endpoint,
        transport(endpoint) as blobs,
        pytest.raises(Exception, match=r"STORAGE_FULL|resumes"),
    ):
        blobs.put(part)
    assert sum(counted) == 0


def test_a_part_stops_when_it_may_not_go_on(tmp_path: Path) -> None:
    """The race is lost: the rest is not sent and the step says so."""
    (tmp_path / "part").write_bytes(bytes(4 << 20))
    part = PutPart("/p", tmp_path / "part", 0, 4 << 20, lambda _nbytes: False)
    with serving(lambda handler: send(handler, 200, b"{}")) as endpoint, transport(endpoint) as blobs:
        assert blobs.put(part) is False


def test_a_plain_proxy_gets_the_whole_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """http_proxy of the environment applies to blobs as it does to the rest."""
    seen: list[str] = []

    def proxy(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.path)
        send(handler, 206, b"ok")

    with serving(proxy) as address:
        monkeypatch.setenv("http_proxy", address)
        monkeypatch.setenv("no_proxy", "")
        with transport("http://hub.invalid") as blobs:
            assert bytes(blobs.get_range("/x?y=1", {}, 0, 2).body) == b"ok"
    assert seen == ["http://hub.invalid/x?y=1"]


def test_where_a_redirect_led_is_asked_until_it_refuses() -> None:
    """The next ranges go straight to the store; an expired URL is asked for anew; the hub says what the bytes are."""
    asked: list[str] = []
    expired: set[str] = set()

    def store(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        send(handler, 403 if handler.path in expired else 206, b"bytes", ETag='"the store\'s"')

    with serving(store) as elsewhere:

        def hub(handler: BaseHTTPRequestHandler) -> None:
            asked.append("hub")
            location = f"{elsewhere}/blob?signature={asked.count('hub')}"
            send(handler, 307, Location=location, ETag='"the hub\'s"', X_Freebits_Sha256="ab")

        with serving(hub) as endpoint, transport(endpoint, retries=1) as blobs:
            for _ in range(3):
                answer = blobs.get_range("/x", {}, 0, 5)
                assert bytes(answer.body) == b"bytes"
                assert (answer.headers["ETag"], answer.headers["X-Freebits-Sha256"]) == ('"the hub\'s"', "ab")
            expired.add("/blob?signature=1")
            assert bytes(blobs.get_range("/x", {}, 5, 10).body) == b"bytes"
    first, second = "/blob?signature=1", "/blob?signature=2"
    assert asked == ["hub", first, first, first, first, "hub", second]


def test_a_part_goes_to_the_store_without_the_token(tmp_path: Path) -> None:
    """The hub is asked for a URL, anew for each try, and the store can check what it gets."""
    content = b"x" * 100_000
    (tmp_path / "source").write_bytes(content)
    seen: list[tuple[str, str | None, str | None, bytes]] = []

    def store(handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        seen.append((handler.path, handler.headers["Authorization"], handler.headers["Content-MD5"], body))
        send(handler, 403 if len(seen) == 1 else 200)

    urls: list[str] = []
    with serving(store) as elsewhere:

        def hub(handler: BaseHTTPRequestHandler) -> None:
            assert handler.headers["Authorization"] == "Bearer secret"
            assert handler.path == "/urls"
            urls.append(f"{elsewhere}/part?signature={len(urls)}")
            send(handler, 200, json.dumps({"items": [{"number": 0, "nbytes": 99_990, "url": urls[-1]}]}).encode())

        with serving(hub) as endpoint, transport(endpoint, retries=1) as blobs:
            part = PutPart("/parts/0", tmp_path / "source", 10, 100_000, lambda _: True, "/urls")
            assert blobs.put(part)
    assert [path for path, *_ in seen] == ["/part?signature=0", "/part?signature=1"]
    md5 = b64encode(hashlib.md5(content[10:]).digest()).decode()
    assert {(token, digest, body) for _, token, digest, body in seen} == {(None, md5, content[10:])}


def test_a_store_that_keeps_refusing_is_named(tmp_path: Path) -> None:
    """Its errors are no errors of the hub, and no reason to doubt the endpoint."""
    with (
        serving(lambda handler: send(handler, 503)) as elsewhere,
        serving(lambda handler: send(handler, 307, Location=f"{elsewhere}/blob")) as endpoint,
        transport(endpoint, retries=1) as blobs,
        pytest.raises(TransportError, match="the hub's store answered HTTP 503"),
    ):
        blobs.get_range("/x", {}, 0, 5)
