"""SIGTERM: readiness says so first, running transfers finish, and what is cut can be gone on with."""

from __future__ import annotations

import random
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx

CONTENT = random.Random(5).randbytes(24 << 20)
DEADLINE_S = 60.0


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Fail unless `condition` becomes true in time."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def is_closed(served: Any) -> bool:
    """Whether nobody listens any more."""
    try:
        socket.create_connection(("127.0.0.1", served.port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def metrics_of(served: Any) -> str:
    """What it counts; asking is a running request itself."""
    return httpx.get(f"{served.url}/metrics").text


def test_readiness_falls_before_the_door_closes(make_process: Callable[..., Any], connect: Callable[..., Any]) -> None:
    """For the delay `/readyz` is 503 while requests are still taken, on connections that end with their answer."""
    served = make_process("--no-worker", "--shutdown-delay-s", "600")
    served.start()
    client = connect(served)
    client.new_repo()
    assert "connection" not in client.get("/repos/admin/model").headers
    served.process.send_signal(signal.SIGTERM)
    wait_until(lambda: httpx.get(f"{served.url}/readyz").status_code == 503, "readiness to fall")
    assert httpx.get(f"{served.url}/readyz").json()["status"] == "stopping"
    assert httpx.get(f"{served.url}/healthz").status_code == 200
    answer = client.get("/repos/admin/model")
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")
    served.process.send_signal(signal.SIGINT)  # the second signal skips the wait
    served.process.communicate(timeout=DEADLINE_S)
    assert served.process.returncode == 130


def test_a_slow_download_is_finished(make_process: Callable[..., Any], connect: Callable[..., Any]) -> None:
    """A reader that is in the middle when the hub is told to stop gets every byte; the hub ends afterwards."""
    flags = ("--shutdown-delay-s", "0.5", "--shutdown-grace-s", "300", "--part-nbytes", str(8 << 20))
    served = make_process("--no-worker", *flags)
    served.start()
    client = connect(served)
    repo = client.new_repo()
    client.push(repo, {"a": CONTENT})
    received = bytearray()
    with httpx.stream("GET", f"{served.url}/api/v1/repos/{repo}/resolve/main/a", timeout=DEADLINE_S) as answer:
        chunks = answer.iter_raw()
        received += next(chunks)
        served.process.send_signal(signal.SIGTERM)
        wait_until(lambda: is_closed(served), "the door to close")
        assert served.process.poll() is None
        for chunk in chunks:
            received += chunk
    assert bytes(received) == CONTENT
    served.process.communicate(timeout=DEADLINE_S)
    assert served.process.returncode == 0


def test_a_slow_upload_is_cut_and_gone_on_with(make_process: Callable[..., Any], connect: Callable[..., Any]) -> None:
    """After the grace a part that is still on its way is cut; the next process asks for that part and no other."""
    served = make_process("--no-worker", "--shutdown-grace-s", "1")
    served.start()
    client = connect(served)
    repo = client.new_repo()
    content = CONTENT[: 3 * (64 << 10)]
    upload = client.begin(repo, content).json()
    for number in (0, 1):
        assert client.put_part(repo, upload, number, content).status_code == 200
    with socket.create_connection(("127.0.0.1", served.port), timeout=DEADLINE_S) as slow:
        slow.sendall(
            f"PUT /api/v1/repos/{repo}/uploads/{upload['id']}/parts/2 HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {client.token}\r\nContent-Length: {64 << 10}\r\n\r\n".encode()
            + b"x" * 1000
        )
        wait_until(lambda: "\nfreebits_http_requests_running 2.0" in metrics_of(served), "the part to begin")
        served.process.send_signal(signal.SIGTERM)
        answer = b"".join(iter(partial(slow.recv, 65536), b""))
    served.process.communicate(timeout=DEADLINE_S)
    assert served.process.returncode == 0
    assert answer.startswith(b"HTTP/1.1 503 "), answer
    assert b'"code":"SHUTTING_DOWN"' in answer
    assert b"retry-after: " in answer.lower()
    assert "Traceback" not in served.log()
    served.start()
    assert client.get(f"/repos/{repo}/uploads/{upload['id']}").json()["received"] == [0, 1]
    assert client.put_part(repo, upload, 2, content).status_code == 200
    assert client.complete(repo, upload).json()["state"] == "complete"
    assert client.commit(repo, {"a": content}).status_code == 201
    assert client.resolve(repo, "a").content == content
