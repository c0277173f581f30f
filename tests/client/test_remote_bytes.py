"""A file at the hub read in blocks: each byte is asked for once, in order or not."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler

import pytest
from answering import send, serving

from freebits.blob_http import BlobTransport
from freebits.certificates import Certificates
from freebits.remote_bytes import BLOCK_NBYTES, RemoteFile
from freebits.retry import Retry

CONTENT = random.Random(2).randbytes(4 * BLOCK_NBYTES + 12345)
HEAD_NBYTES, TAIL_NBYTES = 256 << 10, 128 << 10


class Asked:
    """Which ranges a server was asked for."""

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int]] = []

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        start, last = map(int, re.findall(r"\d+", handler.headers["Range"]))
        stop = min(last + 1, len(CONTENT))
        self.ranges.append((start, stop))
        place = f"bytes {start}-{stop - 1}/{len(CONTENT)}"
        send(handler, 206, CONTENT[start:stop], Content_Range=place, ETag='"one"')


@pytest.fixture
def asked() -> Asked:
    """What the server of `remote` was asked for."""
    return Asked()


@pytest.fixture
def remote(asked: Asked) -> Iterator[RemoteFile]:
    """The file, its head read."""
    with serving(asked) as endpoint, ThreadPoolExecutor(8) as executor:
        blobs = BlobTransport(endpoint, None, Retry(0), 5.0, Certificates())
        file = RemoteFile(blobs, "/file", accept_container=False, executor=executor)
        yield file
        file.close()
        blobs.close()


def read_on(remote: RemoteFile, offset: int) -> None:
    """Read from `offset` to the end in odd pieces."""
    while offset < len(CONTENT):
        nbytes = min(777_777, len(CONTENT) - offset)
        assert remote.read_at(offset, nbytes) == CONTENT[offset : offset + nbytes]
        offset += nbytes


def read_tail(remote: RemoteFile) -> None:
    """As a decoder looks up the index."""
    assert remote.read_at(len(CONTENT) - 10, 10) == CONTENT[-10:]


@pytest.mark.parametrize("is_ahead", [False, True])
def test_a_whole_file_is_fetched_once(remote: RemoteFile, asked: Asked, is_ahead: bool) -> None:
    """The head, the tail, then blocks from the head on, whether they were begun before the tail or after."""
    if is_ahead:
        remote.fetch_ahead()
    read_tail(remote)
    remote.read_ahead()
    read_on(remote, 0)
    starts = range(HEAD_NBYTES, len(CONTENT), BLOCK_NBYTES)
    blocks = [(start, min(start + BLOCK_NBYTES, len(CONTENT))) for start in starts]
    expected = [(0, HEAD_NBYTES), (len(CONTENT) - TAIL_NBYTES, len(CONTENT)), *blocks]
    assert sorted(asked.ranges) == sorted(expected)


def test_what_follows_the_head_is_under_way_before_it_is_read(remote: RemoteFile, asked: Asked) -> None:
    """Blocks arrive while the caller does something else."""
    remote.fetch_ahead()
    remote.read_ahead()
    remote.read_at(HEAD_NBYTES, 1)
    assert len(asked.ranges) > 1
    before = len(asked.ranges)
    remote.read_at(HEAD_NBYTES + 1, BLOCK_NBYTES - 1)
    assert len(asked.ranges) <= max(before, 1 + 5)


def test_a_resumed_pull_fetches_only_what_is_missing(remote: RemoteFile, asked: Asked) -> None:
    """Blocks begin where the first read does."""
    read_tail(remote)
    remote.read_ahead()
    start = 2 * BLOCK_NBYTES + 99
    read_on(remote, start)
    assert sum(stop - begin for begin, stop in asked.ranges if begin >= HEAD_NBYTES) == (
        TAIL_NBYTES + len(CONTENT) - start
    )
