"""Before somebody reads: is the repo here, and is its revision that of the upstream? One lookup for all who ask.

A repo of this hub's own is never looked up, and neither is anything in the namespace of a user or organization of this
hub: nobody on the upstream can put a repo under a name that is somebody's here. A commit that is here is not looked up
again. A branch is compared with the upstream's every so often; when that is away what is here stays.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto

import structlog
from starlette.concurrency import run_in_threadpool

from ..accounts.principal import Principal
from ..accounts.queries import find_namespace
from ..context import Hub
from ..errors import InvalidName, ServiceError, UpstreamUnavailable
from ..metrics import LOOKUPS
from ..names import RESERVED_NAMESPACES, check_ref_name, check_segment, is_commit_id
from ..repos.queries import find_commit, find_ref, find_repo
from .address import Address
from .fetches import Fetches
from .full_names import FullNames
from .revisions import make_known
from .upstream import NotThere, Upstream
from .via import may_ask

log = structlog.get_logger()
PATIENCE_S = 4.0  # for an upstream that is asked whether something newer is there; clients give up a HEAD after 10 s
AWAY_S = 15.0  # an upstream that did not answer is not asked again for so long
MAX_REMEMBERED = 100_000
MAX_LOOKUPS = 1000  # at once; more are not waited for
LOOKUPS_AT_ONCE = 16


class _State(Enum):
    OURS = auto()  # or settled for good: nothing to ask
    HERE = auto()  # mirrored; the upstream may have something newer
    ABSENT = auto()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A revision of a repo that somebody is about to read; `kind` is None where the reader does not say it."""

    kind: str | None
    namespace: str
    name: str
    revision: str

    def addresses(self) -> list[Address]:
        """Where the upstream may have it, in the order in which it is asked."""
        kinds = ("model", "dataset", "space") if self.kind is None else (self.kind,)
        return [Address(kind, self.namespace, self.name) for kind in kinds]


class _Remembered:
    """What was looked up, until when that holds; the oldest goes first when there is too much."""

    def __init__(self) -> None:
        self._until: OrderedDict[Wanted, float] = OrderedDict()

    def note(self, wanted: Wanted, for_s: float) -> None:
        self._until[wanted] = time.monotonic() + for_s
        self._until.move_to_end(wanted)
        if len(self._until) > MAX_REMEMBERED:
            self._until.popitem(last=False)

    def __contains__(self, wanted: Wanted) -> bool:
        return self._until.get(wanted, 0.0) > time.monotonic()


class Mirror:
    """What one process does for its upstream. Use from one event loop."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._upstream = Upstream(hub.settings)
        self.fetches = Fetches(hub, self._upstream)
        self.full_names = FullNames(self._upstream)
        self._remembered = _Remembered()
        self._running: dict[Wanted, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(LOOKUPS_AT_ONCE)
        self._away_until = 0.0

    async def bring(self, caller: Principal, wanted: Wanted, via: str) -> None:
        """Have the revision here if the upstream has it; whether it is here then, the reader finds out.

        Raises UpstreamUnavailable, UpstreamWrong when it is not here and that cannot be told.
        """
        if wanted in self._remembered or not may_ask(via):
            return
        state = await run_in_threadpool(_state, self._hub, wanted)
        if state is _State.OURS:
            self._remembered.note(wanted, self._hub.settings.upstream_refresh_s)
        elif state is _State.HERE:
            with suppress(ServiceError, TimeoutError):  # what is here is served; the log has what went wrong
                await asyncio.wait_for(asyncio.shield(self._lookup(wanted, via)), PATIENCE_S)
        elif caller.user_id is not None or not self._hub.settings.upstream_users_only:
            await asyncio.shield(self._lookup(wanted, via))

    async def close(self) -> None:
        """Give up what is going on."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.fetches.close()
        await self._upstream.close()

    def _lookup(self, wanted: Wanted, via: str) -> asyncio.Task[None]:
        """The lookup that is going on, or a new one; raises UpstreamUnavailable when none can be made now."""
        if wanted not in self._running:
            if time.monotonic() < self._away_until:
                raise UpstreamUnavailable("the upstream did not answer a moment ago; try again in a while")
            if len(self._running) >= MAX_LOOKUPS:
                raise UpstreamUnavailable("too many lookups on the upstream at once; try again in a while")
            self._running[wanted] = asyncio.create_task(self._look(wanted, via))
            self._running[wanted].add_done_callback(lambda done: self._ended(wanted, done))
        return self._running[wanted]

    async def _look(self, wanted: Wanted, via: str) -> None:
        async with self._slots:
            for address in wanted.addresses():
                try:
                    await make_known(self._hub, self._upstream, address, wanted.revision, via)
                    return
                except NotThere:
                    log.debug("not on the upstream", path=address.api, revision=wanted.revision)

    def _ended(self, wanted: Wanted, done: asyncio.Task[None]) -> None:
        del self._running[wanted]
        failure = None if done.cancelled() else done.exception()
        LOOKUPS.labels("ok" if failure is None else type(failure).__name__).inc()
        if failure is None:
            self._remembered.note(wanted, self._hub.settings.upstream_refresh_s)
        elif isinstance(failure, UpstreamUnavailable):
            self._away_until = time.monotonic() + AWAY_S
        if failure is not None:
            log.warning(
                "the upstream could not be looked at",
                repo=f"{wanted.namespace}/{wanted.name}",
                revision=wanted.revision,
                error=str(failure),
            )


def _state(hub: Hub, wanted: Wanted) -> _State:
    try:
        check_segment(wanted.namespace)
        check_segment(wanted.name)
        if not is_commit_id(wanted.revision):
            check_ref_name(wanted.revision)
    except InvalidName:
        return _State.OURS  # there cannot be one
    if wanted.namespace.lower() in RESERVED_NAMESPACES:
        return _State.OURS
    with hub.db.snapshot() as session:
        repo = find_repo(session, wanted.namespace, wanted.name)
        if repo is None:
            namespace = find_namespace(session, wanted.namespace)
            return _State.OURS if namespace is not None and namespace.kind in {"user", "org"} else _State.ABSENT
        if repo.mirrored_at is None or wanted.kind not in {None, repo.kind}:
            return _State.OURS
        if is_commit_id(wanted.revision):
            is_here = find_commit(session, repo.id, wanted.revision) is not None
            return _State.OURS if is_here else _State.ABSENT
        return _State.HERE if find_ref(session, repo.id, wanted.revision) is not None else _State.ABSENT
