"""kill -9 of the hub at random moments of upload and encoding: no committed byte is lost, and the work is finished.

``FREEBITS_TEST_KILL_ROUNDS`` sets the number of kills (8 by default).
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx

ROUNDS = int(os.environ.get("FREEBITS_TEST_KILL_ROUNDS", "8"))
SEED = 77
PAUSE_S = 0.15  # between two pushes: some kills shall meet an idle hub, and the end be near
SAMPLE = 12


def content_of(number: int) -> bytes:
    """A file of a few hundred kB, some of it compressible."""
    rng = random.Random(number)
    return rng.randbytes(60_000) + bytes(rng.choices(range(4), k=150_000))


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
            assert reply.status_code < 500, reply.text
            return reply


def test_kill_at_random_moments(make_process: Callable[..., Any], connect: Callable[..., Any]) -> None:
    """Acknowledged commits read back after each kill, all of them in the end, when all blobs are encoded."""
    rng = random.Random(SEED)
    served = make_process("--grace-s", "1", "--collect-interval-s", "1", "--job-poll-s", "0.1")
    served.start()
    client = connect(served)
    repo = client.new_repo()
    pusher = Pusher(connect(served), repo)
    pusher.start()
    for _ in range(ROUNDS):
        # A worker is at work some three seconds after the start: some kills come before, some after.
        time.sleep(rng.choice([rng.uniform(0.1, 1.0), rng.uniform(2.5, 4.5)]))
        served.end(signal.SIGKILL)
        served.start()
        acknowledged = dict(pusher.committed)
        check(client, repo, dict(rng.sample(list(acknowledged.items()), min(SAMPLE, len(acknowledged)))))
    wait_for_some(pusher)
    pusher.stopping.set()
    pusher.join(60)
    assert pusher.failure is None
    wait_settled(client, repo)
    check(client, repo, pusher.committed)
    outcomes = {job["outcome"] for job in client.get("/jobs", params={"limit": 1000}).json()["items"]}
    assert outcomes <= {"encoded", "was encoded meanwhile"}


def check(client: Any, repo: str, committed: dict[str, bytes]) -> None:
    """All that was acknowledged is there, bit for bit."""
    for path, content in committed.items():
        reply = client.resolve(repo, path)
        assert reply.status_code == 200, (path, reply.text)
        assert hashlib.sha256(reply.content).digest() == hashlib.sha256(content).digest(), path


def wait_for_some(pusher: Pusher) -> None:
    """At least one file got through."""
    deadline = time.monotonic() + 60
    while not pusher.committed and time.monotonic() < deadline:
        time.sleep(0.1)
    assert pusher.committed


def wait_settled(client: Any, repo: str) -> None:
    """All files are encoded."""
    deadline = time.monotonic() + 120
    while True:
        items = client.get(f"/repos/{repo}/tree/main", params={"recursive": True, "limit": 10_000}).json()["items"]
        if {item["state"] for item in items} == {"encoded"}:
            return
        assert time.monotonic() < deadline, [item for item in items if item["state"] != "encoded"]
        time.sleep(0.2)
