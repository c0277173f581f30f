"""Two ways to GET a body and time it: curl, and a socket read into one buffer, the least a client can do."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

BUFFER_NBYTES = 1 << 20
HEAD_LIMIT_NBYTES = 64 << 10


TEN_GBIT = ("--limit-rate", str(10**10 // 8))


def curl_seconds(
    host: str, path: str, token: str, prefix: tuple[str, ...] = (), flags: tuple[str, ...] = ()
) -> tuple[float, int]:
    """(seconds, bytes of body) of a GET by curl to /dev/null."""
    url = f"http://{host}{path}"
    command = [*prefix, "curl", "-sSf", "-o", "/dev/null", "-H", f"Authorization: Bearer {token}", *flags]
    wanted = "%{time_total} %{size_download}"
    done = subprocess.run([*command, "-w", wanted, url], check=True, capture_output=True, text=True)
    seconds, nbytes = done.stdout.split()
    return float(seconds), int(nbytes)


def curl_upload_seconds(host: str, path: str, prefix: tuple[str, ...] = ()) -> float:
    """Seconds of a PUT of the file at `path` by curl."""
    command = [*prefix, "curl", "-sSf", "-o", "/dev/null", "-H", "Expect:", "-T", path]
    url = f"http://{host}/"
    done = subprocess.run([*command, "-w", "%{time_total}", url], check=True, capture_output=True, text=True)
    return float(done.stdout)


def socket_seconds(host: str, path: str, token: str) -> tuple[float, int]:
    """(seconds, bytes of body) of a GET that throws the body away."""
    start = time.perf_counter()
    nbytes = sum(len(piece) for piece in _body(host, path, token))
    return time.perf_counter() - start, nbytes


def body_sha256(host: str, path: str, token: str) -> str:
    """The hex digest of what a GET brings."""
    digest = hashlib.sha256()
    for piece in _body(host, path, token):
        digest.update(piece)
    return digest.hexdigest()


def _body(host: str, path: str, token: str) -> Iterator[memoryview]:
    with _get(host, path, token) as (connection, early, content_nbytes):
        yield memoryview(early)
        buffer = memoryview(bytearray(BUFFER_NBYTES))
        left = content_nbytes - len(early)
        while left:
            got = connection.recv_into(buffer)
            if not got:
                raise RuntimeError(f"{path} was cut short: {left} of {content_nbytes} bytes are missing")
            left -= got
            yield buffer[:got]


@contextmanager
def _get(host: str, path: str, token: str) -> Iterator[tuple[socket.socket, bytes, int]]:
    """(connection, what of the body came with the head, length of the body)."""
    name, port = host.rsplit(":", 1)
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"
    with socket.create_connection((name, int(port)), timeout=60) as connection:
        connection.sendall(request.encode())
        received = b""
        while b"\r\n\r\n" not in received and len(received) < HEAD_LIMIT_NBYTES:
            received += connection.recv(HEAD_LIMIT_NBYTES)
        head, _, early = received.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        if status.split()[1] != "200" or "content-length" not in headers:
            raise RuntimeError(f"GET {path}: wanted 200 with a Content-Length, got {status!r} {headers}")
        yield connection, early, int(headers["content-length"])
