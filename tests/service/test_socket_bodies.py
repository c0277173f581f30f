"""Long bodies that a thread reads from their socket: whole and in order, whatever else the connection does."""

from __future__ import annotations

import hashlib
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import pytest
import uvicorn
from fastapi import Request
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from freebits_service.connections import guarded_protocol
from freebits_service.settings import MIB, Settings
from freebits_service.socket_bodies import LEAST_NBYTES, TURN_NBYTES, WINDOW_NBYTES
from freebits_service.uploads.body import Body

PATIENCE_S = 60
CONTENT = random.Random(9).randbytes(TURN_NBYTES + 5 * MIB + 12_345)


async def digest(request: Request) -> JSONResponse:
    """SHA-256 of the body, how many of its bytes a thread read itself, and in pieces of which lengths."""
    body, found, by_thread = Body(request), hashlib.sha256(), 0
    lengths: list[int] = []

    def take(buffers: Sequence[Any]) -> None:
        for buffer in buffers:
            found.update(buffer)
            lengths.append(len(buffer))
        if request.query_params.get("fail") and sum(lengths) > 4 * MIB:
            raise ValueError("enough")

    while batch := await body.gather(MIB, 1 << 40):
        waiting = body.in_socket()
        if waiting is None:
            take(batch)
        else:
            by_thread += await waiting.pass_on(batch, take, 1 << 40)
    return JSONResponse({"sha256": found.hexdigest(), "by_thread": by_thread, "longest": max(lengths, default=0)})


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server of this process with both kinds of loop."""
    settings = Settings(data=tmp_path_factory.mktemp("hub"), body_window_s=1, min_body_rate=100_000)
    app = Starlette(routes=[Route("/", digest, methods=["PUT"])])
    config = uvicorn.Config(
        app, http=guarded_protocol(settings), loop=request.param, ws="none", log_config=None, lifespan="off"
    )
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        running = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        running.start()
        while not server.started:
            time.sleep(0.01)
        yield listening.getsockname()[1]
        server.should_exit = True
        running.join()


@pytest.fixture
def dial(port: int) -> Iterator[Callable[[], socket.socket]]:
    """New connections, closed at the end."""
    opened: list[socket.socket] = []

    def connect() -> socket.socket:
        opened.append(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S))
        return opened[-1]

    yield connect
    for each in opened:
        each.close()


def head(nbytes: int, target: str = "/") -> bytes:
    return f"PUT {target} HTTP/1.1\r\nHost: hub\r\nContent-Length: {nbytes}\r\n\r\n".encode()


def answer_of(connection: socket.socket) -> tuple[int, Any]:
    answer = HTTPResponse(connection)
    answer.begin()
    body = answer.read()
    return answer.status, json.loads(body) if body.startswith(b"{") else body


def assert_is_digest(answer: tuple[int, Any], content: bytes) -> int:
    """How many bytes a thread read."""
    status, body = answer
    assert (status, body["sha256"]) == (200, hashlib.sha256(content).hexdigest())
    return int(body["by_thread"])


def test_what_comes_fast_is_read_by_a_thread(port: int) -> None:
    """In long pieces; two requests on one connection."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    for content in (CONTENT, CONTENT[::-1]):
        connection.request("PUT", "/", body=content)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        assert_is_digest((answer.status, body), content)
        assert body["by_thread"] > 0
        assert body["longest"] <= WINDOW_NBYTES
    connection.close()


@pytest.mark.parametrize("nbytes", [0, 1, LEAST_NBYTES - 1, LEAST_NBYTES, 3 * MIB, TURN_NBYTES + 2 * MIB])
def test_requests_behind_one_another(dial: Callable[[], socket.socket], nbytes: int) -> None:
    """The next one begins in the same piece in which a body ends, whoever read that."""
    connection, content = dial(), CONTENT[:nbytes]
    following = CONTENT[-3 * MIB :]
    sending = threading.Thread(
        target=connection.sendall, args=(head(nbytes) + content + head(len(following)) + following,)
    )
    sending.start()
    for each in (content, following):
        assert_is_digest(answer_of(connection), each)
    sending.join()


def test_pauses_anywhere(dial: Callable[[], socket.socket]) -> None:
    """A sender who stops in the middle gets back to the loop, as often as he likes."""
    connection, at = dial(), 0
    connection.sendall(head(len(CONTENT)))
    rng = random.Random(3)
    while at < len(CONTENT):
        nbytes = rng.choice([1, 1000, MIB - 1, MIB, 2 * MIB + 7, 4 * MIB])
        connection.sendall(CONTENT[at : at + nbytes])
        at += nbytes
        time.sleep(rng.choice([0, 0.001, 0.02]))
    assert_is_digest(answer_of(connection), CONTENT)


def test_more_at_once_than_there_are_threads(port: int) -> None:
    """All are served; some by the loop."""

    def send(number: int) -> None:
        content = CONTENT[number : number + 6 * MIB]
        connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        connection.request("PUT", "/", body=content)
        answer = connection.getresponse()
        assert_is_digest((answer.status, json.loads(answer.read())), content)
        connection.close()

    with ThreadPoolExecutor(64) as clients:
        list(clients.map(send, range(64)))


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_client_that_leaves(dial: Callable[[], socket.socket], reset: bool) -> None:
    """The connection ends, and others are served."""
    leaving = dial()
    leaving.sendall(head(len(CONTENT)) + CONTENT[: TURN_NBYTES + MIB])
    if reset:
        leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    leaving.close()
    staying = dial()
    staying.sendall(head(len(CONTENT)) + CONTENT)
    assert_is_digest(answer_of(staying), CONTENT)


def test_one_that_goes_on_too_slowly_is_cut_off(dial: Callable[[], socket.socket]) -> None:
    """Having been fast does not help for long."""
    slow = dial()
    slow.sendall(head(len(CONTENT)) + CONTENT[: 8 * MIB])
    slow.settimeout(0.05)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        assert time.monotonic() < deadline, "it was never cut off"
        with suppress(TimeoutError):
            slow.sendall(b"a")
            if slow.recv(1, socket.MSG_PEEK):
                break
    slow.settimeout(PATIENCE_S)
    assert answer_of(slow)[0] == 408


def test_an_error_in_the_thread_is_the_answer(dial: Callable[[], socket.socket]) -> None:
    """What was read is counted all the same: the connection knows where the body ends, or hangs up before."""
    connection = dial()
    with suppress(ConnectionError):
        connection.sendall(head(6 * MIB, "/?fail=1") + CONTENT[: 6 * MIB])
    assert answer_of(connection)[0] == 500
    with suppress(ConnectionError):
        connection.sendall(head(3 * MIB) + CONTENT[: 3 * MIB])
        connection.settimeout(PATIENCE_S)
        rest = connection.recv(1 << 16)
        assert not rest or rest.startswith(b"HTTP/1.1 200 ")
