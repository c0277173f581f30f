"""The files that a process fetches from the upstream, each once however many read it.

Before one begins: are its bytes here by now, and is there room for it twice, as it arrives and stored?
"""

from __future__ import annotations

import asyncio
import shutil

import structlog
from sqlalchemy.orm import Session

from ..blobs.queries import find_blob
from ..context import Hub
from ..downloads.locate import Located
from ..errors import ServiceError, StorageFull, UpstreamUnavailable
from ..metrics import FETCHES
from ..models import Repo
from ..quotas.operations import check_announced
from ..schemas import NewUpload
from ..uploads.operations import require_room
from . import queries
from .fetch import Fetch
from .keeping import hold
from .upstream import NotThere, Upstream

log = structlog.get_logger()
AT_ONCE = 8  # files of one process; others wait for their turn


class Fetches:
    """The files that this process fetches now. Use from one event loop."""

    def __init__(self, hub: Hub, upstream: Upstream) -> None:
        self._hub, self._upstream = hub, upstream
        self._running: dict[tuple[int, str], Fetch] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def join(self, located: Located) -> Fetch | None:
        """The fetch of a file, begun if need be, to be left afterwards; None when its bytes are here after all.

        Raises StorageFull, QuotaExceeded.
        """
        key = _key(located)
        if key not in self._running:
            if await asyncio.to_thread(_settle, self._hub, located):
                return None
            await asyncio.to_thread(_require_room, self._hub, located)
        if key not in self._running:  # nobody else came while we looked
            self._running[key] = Fetch(located, self._hub)
            task = asyncio.create_task(self._run(self._running[key], key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        fetch = self._running[key]
        fetch.use()
        return fetch

    async def close(self) -> None:
        """Give up all of them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, fetch: Fetch, key: tuple[int, str]) -> None:
        """Fetch and keep a file; whoever reads it is told when that fails."""
        outcome, said = "ok", {}
        try:
            async with self._slots:
                await fetch.arrive(self._upstream)
                await asyncio.to_thread(fetch.store)
        except asyncio.CancelledError:
            await fetch.fail(UpstreamUnavailable("this hub process is being stopped; send the request again"))
            raise
        except Exception as error:
            outcome, said = type(error).__name__, {"error": str(error)[:500]}
            await fetch.fail(_told(error))
            if not isinstance(error, ServiceError | NotThere):
                raise
        finally:
            del self._running[key]
            fetch.leave()
            FETCHES.labels(outcome).inc()
            say = log.info if outcome == "ok" else log.warning
            say("a file of the upstream", path=fetch.located.path, nbytes=fetch.nbytes, outcome=outcome, **said)


def _told(error: Exception) -> Exception:
    """What readers are told of it."""
    if isinstance(error, NotThere):
        return UpstreamUnavailable("the upstream does not have this file any more, and it is not here")
    return error


def _key(located: Located) -> tuple[int, str]:
    """Who wants what: another repo may not read what arrives before that is known to be right."""
    assert located.awaited_by is not None
    return located.awaited_by.repo_id, located.blob.sha256


def _settle(hub: Hub, located: Located) -> bool:
    """Whether the bytes are here by now, and everybody may read them: then the repo holds them, too."""
    awaited_by = located.awaited_by
    assert awaited_by is not None

    def settle(session: Session) -> bool:
        blob = find_blob(session, located.blob.sha256, keep=True)
        repo = session.get(Repo, awaited_by.repo_id)
        if blob is None or repo is None or not blob.is_good:
            return False
        if not queries.is_awaited(session, repo.id, blob.id):
            return True
        if not queries.public_among(session, [blob.id]):
            return False
        hold(hub, session, repo, [(blob, located.path)])
        return True

    return hub.db.run(settle)


def _require_room(hub: Hub, located: Located) -> None:
    """Raises StorageFull, QuotaExceeded for a file that could not be kept."""
    blob, awaited_by = located.blob, located.awaited_by
    assert awaited_by is not None
    require_room(hub, 2 * blob.nbytes)  # a folder of objects lies where files arrive
    free = shutil.disk_usage(hub.settings.data).free
    if free - blob.nbytes < hub.settings.min_free_nbytes:
        raise StorageFull(f"{blob.nbytes} bytes do not fit on their way from the upstream, {free} bytes are free")
    wanted = NewUpload(sha256=blob.sha256, nbytes=blob.nbytes, stored_nbytes=blob.nbytes, stored_sha256=blob.sha256)
    with hub.db.snapshot() as session:
        repo = session.get(Repo, awaited_by.repo_id)
        if repo is not None:
            check_announced(session, hub.settings, repo, wanted)
