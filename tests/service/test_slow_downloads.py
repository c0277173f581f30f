"""Many readers who take a few kB a second, and what they cost a real hub process."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import psutil
import pytest

from freebits_codecs import encode
from freebits_service.downloads.pace import BATCH, PROVEN_NBYTES, Pace, ReadAheadBudget
from freebits_service.settings import MIB

READERS = 200
READ_S, READ_NBYTES = 8.0, 2000  # every reader takes so much twice a second, for so long
ALLOWED_NBYTES = 300 * MIB
TOKEN = "admin-token-of-the-tests"


def weights(count: int) -> bytes:
    """BF16 values as a checkpoint has them, in a safetensors file."""
    values = np.random.default_rng(3).standard_normal(count, dtype=np.float32) * 0.02
    data = (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    header = b'{"w":{"dtype":"BF16","shape":[%d],"data_offsets":[0,%d]}}' % (count, len(data))
    return len(header).to_bytes(8, "little") + header + data


def test_two_hundred_slow_readers_fit_into_memory(
    make_lasting_process: Callable[..., Any], connect: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Half read an encoded file, half a raw one; a reader in a hurry gets both files right meanwhile."""
    served = make_lasting_process("--no-worker", "--part-nbytes", str(16 * MIB))
    served.start()
    client = connect(served)
    repo = client.new_repo()
    encoded, raw = weights(20 * MIB), random.Random(5).randbytes(40 * MIB)
    for content, stored in ((encoded, encode(encoded)), (raw, None)):
        client.upload(repo, content, stored)
    client.commit(repo, {"encoded": encoded, "raw": raw}).raise_for_status()
    assert [client.resolve(repo, name).content for name in ("encoded", "raw")] == [encoded, raw]
    process = psutil.Process(served.process.pid)
    before = most = process.memory_info().rss
    with ExitStack() as stack:
        names = ("encoded", "raw") * (READERS // 2)
        readers = [stack.enter_context(slow_reader(served.port, repo, name)) for name in names]
        deadline = time.monotonic() + READ_S
        while time.monotonic() < deadline:
            for reader in readers:
                assert reader.recv(READ_NBYTES)
            most = max(most, process.memory_info().rss)
            time.sleep(0.5)
        assert [client.resolve(repo, name).content for name in ("encoded", "raw")] == [encoded, raw]
        most = max(most, process.memory_info().rss)
        assert len([each for each in process.open_files() if "/objects/" in each.path]) == READERS
    with capsys.disabled():
        print(f"\n{READERS} slow readers: {before / MIB:.0f} MiB before, at most {most / MIB:.0f} MiB")
    assert most - before < ALLOWED_NBYTES


def slow_reader(port: int, repo: str, name: str) -> socket.socket:
    """A connection that has asked for a file and takes little of the answer at once."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    connection.settimeout(60)
    connection.connect(("127.0.0.1", port))
    target = f"/api/v1/repos/{repo}/resolve/main/{name}"
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
    return connection


def test_answers_share_one_budget() -> None:
    """Whole pieces while there is room, small ones then; who is read fast finds room that others leave."""
    budget = ReadAheadBudget(32 * MIB)
    slow = [Pace(budget) for _ in range(10)]
    counts = [pace.begin_batch() for pace in slow]
    assert counts[:2] == [(BATCH, 2 * MIB)] * 2
    assert set(counts[2:]) == {(1, 0)}
    assert [pace.piece_nbytes for pace in slow] == [MIB] * 2 + [MIB // 16] * 8
    fast = Pace(budget)
    assert fast.begin_batch() == (1, 0)
    fast.end_batch(PROVEN_NBYTES, 0)
    assert fast.begin_batch() == (BATCH, 2 * MIB)
    assert fast.piece_nbytes == MIB
    for pace, (_, taken) in zip(slow, counts, strict=True):
        pace.end_batch(0, taken)
    fast.end_batch(2 * MIB, 2 * MIB)
    assert budget.used_nbytes == 0
