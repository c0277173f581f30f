"""The clients of the load benchmark: one process, many connections, each of which asks again once it is answered."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import resource
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

import httpx
from seeded_repos import PULLED, user_name

API = "/api/v1"
PUSHED_NBYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """A seeded repo, its owner's token, and some of its files."""

    repo: str
    token: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """What one client process does: connections per kind of request, for how long, against whom."""

    address: str
    targets: tuple[Target, ...]
    own: tuple[Target, ...]  # repos that this process alone pushes to, one per pushing connection
    connections: Mapping[str, int]
    seconds: float
    users: int
    seed: int


@dataclass(slots=True)
class Measured:
    """Latencies in seconds and bytes received by kind; errors by what happened; CPU seconds of this client."""

    latencies: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    nbytes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    cpu_s: float = 0.0

    def add(self, other: Measured) -> None:
        """Count what another client measured, too."""
        for kind, latencies in other.latencies.items():
            self.latencies[kind] += latencies
        self.nbytes += other.nbytes
        self.errors += other.errors
        self.cpu_s += other.cpu_s


def drive(load: Load) -> Measured:
    """Run the load in this process."""
    return asyncio.run(_drive(load))


async def _drive(load: Load) -> Measured:
    measured = Measured()
    until = time.monotonic() + load.seconds
    async with asyncio.TaskGroup() as group:
        for kind, count in load.connections.items():
            for number in range(count):
                caller = _Caller(load, measured, kind, number)
                group.create_task(caller.repeat(until))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    measured.cpu_s = usage.ru_utime + usage.ru_stime
    return measured


class _Caller:
    """One connection that makes one kind of request."""

    def __init__(self, load: Load, measured: Measured, kind: str, number: int) -> None:
        self._load, self._measured, self._kind, self._number = load, measured, kind, number
        self._chance = random.Random(f"{load.seed} {kind} {number}")
        self._head: str | None = None

    async def repeat(self, until: float) -> None:
        request: Callable[[httpx.AsyncClient], Awaitable[None]] = getattr(self, f"_{self._kind}")
        base = f"{self._load.address}{API}"
        async with httpx.AsyncClient(base_url=base, timeout=120, follow_redirects=True) as client:
            while time.monotonic() < until:
                begun = time.monotonic()
                try:
                    await request(client)
                except (httpx.HTTPError, AssertionError) as error:
                    self._measured.errors[f"{self._kind}: {type(error).__name__} {error}"[:200]] += 1
                else:
                    self._measured.latencies[self._kind].append(time.monotonic() - begun)

    async def _ask(
        self, client: httpx.AsyncClient, method: str, path: str, token: str, **options: object
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        reply = await client.request(method, path, headers=headers, **options)  # type: ignore[arg-type]
        assert reply.is_success, f"{method} {reply.status_code} {reply.text[:100]}"
        self._measured.nbytes[self._kind] += len(reply.content)
        return reply

    def _target(self) -> Target:
        return self._chance.choice(self._load.targets)

    async def _head_of_file(self, client: httpx.AsyncClient) -> None:
        target = self._target()
        path = quote(self._chance.choice(target.paths))
        await self._ask(client, "HEAD", f"/repos/{target.repo}/resolve/main/{path}", target.token)

    async def _pull(self, client: httpx.AsyncClient) -> None:
        target = self._target()
        await self._ask(client, "GET", f"/repos/{target.repo}/resolve/main/{self._chance.choice(PULLED)}", target.token)

    async def _tree(self, client: httpx.AsyncClient) -> None:
        target = self._target()
        params = {"recursive": "true", "limit": "1000"}
        await self._ask(client, "GET", f"/repos/{target.repo}/tree/main", target.token, params=params)

    async def _repos(self, client: httpx.AsyncClient) -> None:
        after = f"{user_name(self._chance.randrange(1, self._load.users))}/model-000000"
        await self._ask(client, "GET", "/repos", self._target().token, params={"after": after, "limit": "100"})

    async def _history(self, client: httpx.AsyncClient) -> None:
        target = self._target()
        await self._ask(client, "GET", f"/repos/{target.repo}/commits/main", target.token, params={"limit": "50"})

    async def _push(self, client: httpx.AsyncClient) -> None:
        """Announce, send, complete, commit: four requests counted as one."""
        target = self._load.own[self._number]
        repo = f"/repos/{target.repo}"
        if self._head is None:
            self._head = (await self._ask(client, "GET", repo, target.token)).json()["head"]
        content = os.urandom(PUSHED_NBYTES)
        what = {"sha256": hashlib.sha256(content).hexdigest(), "nbytes": len(content)}
        stored = {"stored_nbytes": len(content), "stored_sha256": what["sha256"], "encoding": "identity"}
        upload = (await self._ask(client, "POST", f"{repo}/uploads", target.token, json={**what, **stored})).json()
        place = f"{repo}/uploads/{upload['id']}"
        await self._ask(client, "PUT", f"{place}/parts/0", target.token, content=content)
        await self._ask(client, "POST", f"{place}/complete", target.token)
        add = {"op": "add", "path": f"pushed/{self._chance.randrange(1000):04}.bin", **what}
        commit = {"branch": "main", "parent": self._head, "message": "load", "operations": [add]}
        self._head = (await self._ask(client, "POST", f"{repo}/commits", target.token, json=commit)).json()["id"]
