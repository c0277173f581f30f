"""A client that pushes file after file through every fault, and remembers what was acknowledged."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx

LOW_BITS = bytes(byte & 3 for byte in range(256))
PAUSE_S = 0.15  # between two pushes: some kills shall meet an idle hub, and the end be near


def content_of(number: int) -> bytes:
    """A file of a few hundred kB, some of it compressible."""
    rng = random.Random(number)
    return rng.randbytes(60_000) + rng.randbytes(150_000).translate(LOW_BITS)


class Pusher(threading.Thread):
    """Pushes file after file until told to stop, going on after every cut; remembers what was acknowledged."""

    def __init__(self, client: Any, repo: str) -> None:
        super().__init__(daemon=True)
        self.client, self.repo = client, repo
        self.stopping = threading.Event()
        self.committed: dict[str, bytes] = {}
        self.failure: BaseException | None = None

    def run(self) -> None:
        """One commit per file."""
        try:
            for number in range(10_000):
                if self.stopping.is_set():
                    return
                self._push(f"f{number}", content_of(number))
                time.sleep(PAUSE_S)
        except BaseException as error:
            self.failure = error
            raise

    def _push(self, path: str, content: bytes) -> None:
        upload = self._answer(self.client.begin, self.repo, content).json()
        while upload["state"] != "complete":
            for number in set(range(upload["part_count"])) - set(upload["received"]):
                self._answer(self.client.put_part, self.repo, upload, number, content)
            upload = self._answer(self.client.complete, self.repo, upload).json()
        while not self._is_committed(path, content):
            pass
        self.committed[path] = content

    def _is_committed(self, path: str, content: bytes) -> bool:
        head = self._answer(self.client.get, f"/repos/{self.repo}").json()["head"]
        reply = self._answer(self.client.commit, self.repo, {path: content}, head)
        if reply.status_code == 201:
            return True
        # The answer to an earlier try was lost: the commit may be there already.
        assert reply.json()["code"] == "HEAD_MOVED", reply.text
        found: int = self._answer(self.client.resolve, self.repo, path).status_code
        return found == 200

    def _answer(self, request: Callable[..., httpx.Response], *arguments: Any) -> httpx.Response:
        while True:
            try:
                reply = request(*arguments)
            except httpx.TransportError:
                if self.stopping.is_set():
                    raise
                time.sleep(0.05)
                continue
            if reply.status_code == 503:  # the hub says that it cannot now, and to come again
                time.sleep(0.1)
                continue
            assert reply.status_code < 500, reply.text
            return reply


def check(client: Any, repo: str, committed: dict[str, bytes]) -> None:
    """All that was acknowledged is there, bit for bit."""
    for path, content in committed.items():
        reply = client.resolve(repo, path)
        assert reply.status_code == 200, (path, reply.text)
        assert hashlib.sha256(reply.content).digest() == hashlib.sha256(content).digest(), path


def stop_and_check(pusher: Pusher, client: Any) -> None:
    """After the faults: something got through, the rest ends well, all is encoded and there bit for bit."""
    deadline = time.monotonic() + 60
    while not pusher.committed and time.monotonic() < deadline:
        time.sleep(0.1)
    assert pusher.committed
    pusher.stopping.set()
    pusher.join(60)
    assert pusher.failure is None
    _wait_settled(client, pusher.repo)
    check(client, pusher.repo, pusher.committed)


def _wait_settled(client: Any, repo: str) -> None:
    """All files are encoded."""
    deadline = time.monotonic() + 120
    while True:
        items = client.get(f"/repos/{repo}/tree/main", params={"recursive": True, "limit": 10_000}).json()["items"]
        if {item["state"] for item in items} == {"encoded"}:
            return
        assert time.monotonic() < deadline, [item for item in items if item["state"] != "encoded"]
        time.sleep(0.2)
