"""kill -9 of the hub at random moments of upload and encoding: no committed byte is lost, and the work is finished.

``FREEBITS_TEST_KILL_ROUNDS`` sets the number of kills (5 by default).
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from pusher import Pusher, check, stop_and_check

pytestmark = pytest.mark.fault
ROUNDS = int(os.environ.get("FREEBITS_TEST_KILL_ROUNDS", "5"))
SEED = 77
SAMPLE = 12


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
    stop_and_check(pusher, client)
    outcomes = {job["outcome"] for job in client.get("/jobs", params={"limit": 1000}).json()["items"]}
    assert outcomes <= {"encoded", "was encoded meanwhile"}
