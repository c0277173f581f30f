"""Connections that trickle, flood or do not read, as raw sockets to a real process: they are cut off, others served."""

from __future__ import annotations

import json
import random
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPResponse
from typing import Any

import httpx
import psutil
import pytest

PATIENCE_S = 60
QUICK = (
    *("--no-worker", "--header-timeout-s", "2", "--body-window-s", "2", "--min-body-rate", "1000"),
    *("--send-timeout-s", "2"),
)
TOKEN = "admin-token-of-the-tests"
AUTHORIZED = f"Host: hub\r\nAuthorization: Bearer {TOKEN}\r\n"


@pytest.fixture(scope="module")
def served(make_lasting_process: Callable[..., Any]) -> Any:
    """A hub process that loses patience within two seconds, one for all tests here."""
    process = make_lasting_process(*QUICK)
    process.start()
    return process


@pytest.fixture
def dial(served: Any) -> Iterator[Callable[..., socket.socket]]:
    """New connections to it, closed at the end; what is given is sent."""
    with ExitStack() as stack:

        def connect(text: str = "") -> socket.socket:
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE_S))
            connection.sendall(text.encode())
            return connection

        yield connect


def answer_of(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """Status and JSON body of the answer on a connection."""
    answer = HTTPResponse(connection)
    answer.begin()
    return answer.status, json.loads(answer.read())


def read_to_the_end(connection: socket.socket) -> int:
    """How many bytes still come before the connection ends, well or broken."""
    nbytes = 0
    with suppress(ConnectionError):
        while piece := connection.recv(1 << 20):
            nbytes += len(piece)
    return nbytes


def assert_cut(connection: socket.socket) -> None:
    """The hub hangs up, with whatever it still says before that."""
    assert read_to_the_end(connection) < 1 << 20


def assert_answers(served: Any) -> None:
    """Somebody else is served."""
    assert httpx.get(f"{served.url}/healthz", timeout=PATIENCE_S).status_code == 200


def trickle(connection: socket.socket, text: bytes, pause_s: float = 0.2) -> bool:
    """Send a byte at a time; whether the other side let us finish."""
    connection.settimeout(pause_s)
    for position in range(len(text)):
        try:
            connection.send(text[position : position + 1])
            if connection.recv(1, socket.MSG_PEEK) is not None:
                return False
        except TimeoutError:
            continue
        except ConnectionError:
            return False
    return True


def test_a_header_that_trickles_is_cut_off(served: Any, dial: Callable[..., socket.socket]) -> None:
    """Bytes that keep coming do not help, neither on a new connection nor after an answer; 408 says why."""
    fresh = dial("GET /healthz HTTP/1.1\r\nX-Slow: ")
    assert not trickle(fresh, b"a" * 400)
    fresh.settimeout(PATIENCE_S)
    assert answer_of(fresh)[0] == 408
    used = dial("GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n")
    assert answer_of(used)[0] == 200
    assert not trickle(used, b"\r\n" * 200)
    assert_answers(served)


def test_a_silent_connection_is_closed(served: Any, dial: Callable[..., socket.socket]) -> None:
    """Without a word, as there was no request."""
    silent = dial()
    assert silent.recv(1) == b""
    assert_answers(served)


def test_a_body_that_trickles_is_cut_off(served: Any, dial: Callable[..., socket.socket]) -> None:
    """JSON and parts alike; the same body at once is taken."""
    head = f"POST /api/v1/repos HTTP/1.1\r\n{AUTHORIZED}Content-Type: application/json\r\nContent-Length: 400\r\n\r\n"
    slow = dial(head)
    assert not trickle(slow, b" " * 400)
    slow.settimeout(PATIENCE_S)
    status, body = answer_of(slow)
    assert (status, body["code"]) == (408, "REQUEST_TIMEOUT")
    quick = dial(head + json.dumps({"name": "admin/at-once"}).ljust(400))
    assert answer_of(quick)[0] == 201
    chunked = dial(head.replace("Content-Length: 400", "Transfer-Encoding: chunked"))
    assert not trickle(chunked, b"1\r\na\r\n" * 100)


def test_a_trickling_part_leaves_the_upload_as_it_was(
    served: Any, connect: Callable[..., Any], dial: Callable[..., socket.socket]
) -> None:
    """It is cut off, does not count, and can be sent again."""
    client = connect(served)
    repo, content = client.new_repo("admin/trickled"), random.Random(1).randbytes(100_000)
    upload = client.begin(repo, content).json()
    start = f"PUT /api/v1/repos/{repo}/uploads/{upload['id']}/parts/0 HTTP/1.1\r\n{AUTHORIZED}"
    assert not trickle(dial(f"{start}Content-Length: 65536\r\n\r\n"), b"a" * 400)
    assert client.get(f"/repos/{repo}/uploads/{upload['id']}").json()["received"] == []
    client.push(repo, {"a": content})
    assert client.resolve(repo, "a").content == content


def test_an_answer_nobody_reads_is_ended(
    served: Any, connect: Callable[..., Any], dial: Callable[..., socket.socket]
) -> None:
    """The file is closed and the memory let go, while somebody who reads slowly gets everything."""
    client = connect(served)
    repo, content = client.new_repo("admin/unread"), random.Random(2).randbytes(24 << 20)
    client.push(repo, {"a": content})
    request = f"GET /api/v1/repos/{repo}/resolve/main/a HTTP/1.1\r\n{AUTHORIZED}\r\n"
    unread, slow = dial(request), dial(request)
    answer = HTTPResponse(slow)
    answer.begin()
    received = bytearray()
    deadline = time.monotonic() + PATIENCE_S
    while 'freebits_connections_cut_off_total{code="NOT_READ"} 1.0' not in httpx.get(f"{served.url}/metrics").text:
        assert time.monotonic() < deadline, "the answer that nobody reads is still open"
        received += answer.read(50_000)
        time.sleep(0.1)
    received += answer.read()
    assert bytes(received) == content
    assert 0 < read_to_the_end(unread) < len(content)
    process = psutil.Process(served.process.pid)
    while [each for each in process.open_files() if "/objects/" in each.path]:
        assert time.monotonic() < deadline, "a file is still open"
        time.sleep(0.05)


def test_headers_beyond_the_limit_are_refused(served: Any, dial: Callable[..., socket.socket]) -> None:
    """One long header, many short ones, one without end, trailers, a long target: 431 or 414, and nothing is kept."""
    start = "GET /healthz HTTP/1.1\r\nHost: hub\r\n"
    many = "".join(f"X-{number}: {'a' * 50}\r\n" for number in range(2000))
    for text in (f"{start}X-Long: {'a' * 70_000}\r\n\r\n", f"{start}{many}\r\n", f"{start}X-Endless: {'a' * 200_000}"):
        status, body = answer_of(dial(text))
        assert (status, body["code"]) == (431, "HEADER_TOO_LARGE")
    status, body = answer_of(dial(f"GET /{'a' * 20_000} HTTP/1.1\r\nHost: hub\r\n\r\n"))
    assert (status, body["code"]) == (414, "TARGET_TOO_LONG")
    trailers = dial(f"POST /api/v1/repos HTTP/1.1\r\n{AUTHORIZED}Transfer-Encoding: chunked\r\n\r\n0\r\n")
    with suppress(ConnectionError):
        trailers.sendall(many.encode() * 100)
    assert_cut(trailers)
    assert_answers(served)


def test_json_beyond_the_limit_is_cut_at_the_limit(served: Any, dial: Callable[..., socket.socket]) -> None:
    """Announced or not: 413, and the connection ends soon after, however much is still being sent."""
    announced = dial(f"POST /api/v1/repos HTTP/1.1\r\n{AUTHORIZED}Content-Length: 100000000\r\n\r\n")
    assert answer_of(announced)[0] == 413
    assert sent_before_cut(announced, b"x" * 65536) < 16 << 20
    chunked = dial(f"POST /api/v1/repos HTTP/1.1\r\n{AUTHORIZED}Transfer-Encoding: chunked\r\n\r\n")
    assert sent_before_cut(chunked, b"10000\r\n" + b"x" * 65536 + b"\r\n") < 16 << 20
    assert answer_of(dial("GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n"))[0] == 200


def sent_before_cut(connection: socket.socket, block: bytes) -> int:
    """Bytes that went out before the hub hung up, some of them into buffers on the way; at most 400 blocks."""
    for number in range(400):
        try:
            connection.sendall(block)
        except ConnectionError:
            return number * len(block)
    return 400 * len(block)


def test_a_part_longer_than_planned_is_cut_off(
    served: Any, connect: Callable[..., Any], dial: Callable[..., socket.socket]
) -> None:
    """At its length, not when the sender is done; one that announces another length is refused before."""
    client = connect(served)
    repo = client.new_repo("admin/longer")
    upload = client.begin(repo, b"a" * 100_000).json()
    start = f"PUT /api/v1/repos/{repo}/uploads/{upload['id']}/parts/0 HTTP/1.1\r\n{AUTHORIZED}"
    longer = dial(f"{start}Transfer-Encoding: chunked\r\n\r\n")
    assert sent_before_cut(longer, b"10000\r\n" + b"x" * 65536 + b"\r\n") < 16 << 20
    status, body = answer_of(dial(f"{start}Content-Length: 99999999\r\n\r\n"))
    assert (status, body["code"]) == (422, "PART_MISMATCH")
    assert client.get(f"/repos/{repo}/uploads/{upload['id']}").json()["received"] == []


def test_a_body_that_ends_after_its_answer_keeps_the_connection(
    served: Any, dial: Callable[..., socket.socket]
) -> None:
    """A refused request of ordinary length costs nobody the connection."""
    connection = dial(f"POST /api/v1/users/nobody/tokens HTTP/1.1\r\n{AUTHORIZED}Content-Length: 2000000\r\n\r\n")
    assert answer_of(connection)[0] == 413
    shorter = dial("PUT /api/v1/repos/a/b/uploads/c/parts/0 HTTP/1.1\r\nHost: hub\r\nContent-Length: 100000\r\n\r\n")
    assert answer_of(shorter)[0] in {401, 404}
    shorter.sendall(b"x" * 100_000 + b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n")
    assert answer_of(shorter)[0] == 200


def test_a_body_in_chunks_of_one_byte_is_taken_whole(served: Any, dial: Callable[..., socket.socket]) -> None:
    """Many of them arrive at once, each behind the others."""
    body = b" " * 200_000 + b'{"name": "admin/in-single-bytes"}'
    head = f"POST /api/v1/repos HTTP/1.1\r\n{AUTHORIZED}Content-Type: application/json\r\n"
    connection = dial(f"{head}Transfer-Encoding: chunked\r\n\r\n")
    connection.sendall(b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
    status, answer = answer_of(connection)
    assert (status, answer.get("name")) == (201, "admin/in-single-bytes"), answer


def test_deeply_nested_json_is_an_error_of_the_caller(served: Any, dial: Callable[..., socket.socket]) -> None:
    """A hundred thousand brackets are 400 or 422, not the end of the process."""
    for text in ("[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000):
        head = f"POST /api/v1/repos HTTP/1.1\r\n{AUTHORIZED}Content-Type: application/json\r\n"
        status, body = answer_of(dial(f"{head}Content-Length: {len(text)}\r\n\r\n{text}"))
        assert status in {400, 422}, body
    assert_answers(served)


def test_requests_sent_ahead_are_answered_in_order_and_bounded(served: Any, dial: Callable[..., socket.socket]) -> None:
    """Ten on one connection are all answered; ten thousand are cut off."""
    names = [f"request-{number}" for number in range(10)]
    ahead = dial("".join(f"GET /nothing HTTP/1.1\r\nHost: hub\r\nX-Request-Id: {name}\r\n\r\n" for name in names))
    received = b""
    while received.count(b"x-request-id: ") < 10 or not received.endswith(b"}"):
        received += ahead.recv(65536)
    assert re.findall(r"x-request-id: (\S+)", received.decode()) == names
    flood = dial()
    with suppress(ConnectionError):
        flood.sendall(b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n" * 10_000)
    assert_cut(flood)
    assert_answers(served)


def test_more_connections_than_allowed_are_refused(make_lasting_process: Callable[..., Any]) -> None:
    """503 for one more from the same address; a place that is given back is given again."""
    served = make_lasting_process("--no-worker", "--max-connections-per-address", "4", name="few")
    served.start()
    address = ("127.0.0.1", served.port)
    with ExitStack() as stack:
        kept = [stack.enter_context(socket.create_connection(address, timeout=PATIENCE_S)) for _ in range(4)]
        for connection in kept:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n")
            assert answer_of(connection)[0] == 200
        one_more = stack.enter_context(socket.create_connection(address, timeout=PATIENCE_S))
        status, body = answer_of(one_more)
        assert (status, body["code"]) == (503, "TOO_MANY_CONNECTIONS")
    deadline = time.monotonic() + PATIENCE_S
    while httpx.get(f"{served.url}/healthz").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_hub_answers_while_hundreds_of_connections_do_evil(make_lasting_process: Callable[..., Any]) -> None:
    """500 connections that trickle headers and bodies or stay silent: health probes are answered all the time."""
    served = make_lasting_process("--no-worker", "--header-timeout-s", "10", "--body-window-s", "10", name="evil")
    served.start()
    starts = [
        b"GET /healthz HTTP/1.1\r\nX-Slow: ",
        f"POST /api/v1/repos HTTP/1.1\r\n{AUTHORIZED}Content-Length: 500\r\n\r\n".encode(),
        f"POST /api/v1/repos HTTP/1.1\r\n{AUTHORIZED}Transfer-Encoding: chunked\r\n\r\n".encode(),
        b"",
    ]
    with ExitStack() as stack:
        evil = [stack.enter_context(socket.create_connection(("127.0.0.1", served.port))) for _ in range(500)]
        for number, connection in enumerate(evil):
            connection.sendall(starts[number % 4])
        probes = 0
        with httpx.Client(timeout=PATIENCE_S) as probe:
            deadline = time.monotonic() + PATIENCE_S
            while any(_is_open(connection) for connection in evil):
                assert time.monotonic() < deadline, "some were never cut off"
                for number, connection in enumerate(evil):
                    if number % 4 < 2:
                        with suppress(OSError):
                            connection.send(b"a")
                assert probe.get(f"{served.url}/healthz").status_code == 200
                probes += 1
                time.sleep(0.1)
        assert probes > 10
        metrics = httpx.get(f"{served.url}/metrics").text
        assert 'freebits_connections_cut_off_total{code="REQUEST_TIMEOUT"}' in metrics


def _is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return bool(connection.recv(65536))
    except BlockingIOError:
        return True
    except OSError:
        return False
