"""The slow link is as slow as it says."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from side_process import listening_script

NBYTES = 3_000_000
MBIT = 80.0


@pytest.fixture
def target() -> socket.socket:
    listening = socket.create_server(("127.0.0.1", 0))
    yield listening
    listening.close()


def _send_all(listening: socket.socket) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.sendall(bytes(NBYTES))


def _count_all(connection: socket.socket) -> int:
    total = 0
    while piece := connection.recv(1 << 16):
        total += len(piece)
    return total


def test_download_takes_as_long_as_the_rate_says(target: socket.socket) -> None:
    """3 MB at 80 Mbit/s take 0.3 s, and all of them arrive."""
    threading.Thread(target=_send_all, args=(target,), daemon=True).start()
    to = f"127.0.0.1:{target.getsockname()[1]}"
    with listening_script("throttle.py", "--to", to, "--mbit", str(MBIT)) as port:
        start = time.monotonic()
        with socket.create_connection(("127.0.0.1", port)) as connection:
            received = _count_all(connection)
        seconds = time.monotonic() - start
    assert received == NBYTES
    assert 0.9 <= seconds / (NBYTES * 8 / MBIT / 1e6) <= 2.0  # a busy machine may be later, never earlier


def test_upload_is_limited_too(target: socket.socket) -> None:
    """Bytes to the server wait in the same way, and the end of the stream is passed on."""
    to = f"127.0.0.1:{target.getsockname()[1]}"
    with listening_script("throttle.py", "--to", to, "--mbit", str(MBIT)) as port:
        start = time.monotonic()
        with socket.create_connection(("127.0.0.1", port)) as connection:
            threading.Thread(target=connection.sendall, args=(bytes(NBYTES),), daemon=True).start()
            arrived, _ = target.accept()
            with arrived:
                total = 0
                while total < NBYTES:
                    total += len(arrived.recv(1 << 16))
        seconds = time.monotonic() - start
    assert seconds >= 0.9 * NBYTES * 8 / MBIT / 1e6
