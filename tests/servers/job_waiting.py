"""Make work for workers, and wait until it is done."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

DEADLINE_S = 90.0
MIB = 1 << 20
LARGE = random.Random(9).randbytes(MIB) + bytes(range(64)) * (31 * MIB // 64)


def wait_for(condition: Callable[[], Any], what: str, every_s: float = 0.02) -> Any:
    """The first true value of `condition`."""
    deadline = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {DEADLINE_S:.0f} s: {what}"
        time.sleep(every_s)
    return value


def jobs(client: Any) -> list[dict[str, Any]]:
    """All jobs, oldest first."""
    items: list[dict[str, Any]] = client.get("/jobs", params={"limit": 1000}).json()["items"]
    return items[::-1]


def wait_done(client: Any, number: int) -> list[dict[str, Any]]:
    """So many jobs, all done."""
    return wait_for(  # type: ignore[no-any-return]
        lambda: (found := jobs(client)) and len(found) == number and all(j["state"] == "done" for j in found) and found,
        f"{number} jobs to be done",
        0.1,
    )


def push_large(client: Any, repo: str, number: int) -> dict[str, bytes]:
    """One more large file in a commit of its own."""
    files = {f"large{number}": number.to_bytes(8, "little") + LARGE}
    client.push(repo, files, client.get(f"/repos/{repo}").json()["head"])
    return files
