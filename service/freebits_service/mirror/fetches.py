"""Files on their way from the upstream, each once however many read it, and read while it arrives.

    room      the disk has room for the file, twice: as it arrives, and stored
    arrive    into a file without a name, front to back; a cut connection is gone on with where it broke
    verify    size and SHA-256; the last bytes are given to readers only when these are right
    store     under a key that only this fetch has                                           crash: an orphan
    known     one transaction: the blob has its bytes, the repo holds it, a worker encodes it

A crash before the last step leaves nothing that anybody finds. Nothing of a fetch is on the event loop for long:
hashing, writing and reading is done in threads.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator

import structlog
from sqlalchemy.orm import Session

from ..blobs.files import StagedFile
from ..blobs.keys import UPSTREAM_ORIGIN, new_raw_key
from ..blobs.queries import adopt_raw, find_blob
from ..context import Hub
from ..downloads.locate import Located
from ..errors import ServiceError, StorageFull, UpstreamUnavailable, UpstreamWrong
from ..models import Repo
from ..quotas.operations import check_announced
from ..schemas import NewUpload
from ..settings import MIB
from ..uploads.operations import require_room
from . import queries
from .keeping import hold
from .upstream import NotThere, Upstream

log = structlog.get_logger()
BATCH_NBYTES = MIB
TELL_S = 0.05  # readers are woken no more often than that
WHOLE_NBYTES = MIB  # of shorter files nobody sees a byte before all are right
TRIES = 6  # in a row that bring nothing more
TRIES_AT_FIRST = 2  # of a file of which nothing has come: its readers are told while they can be
LONGEST_PAUSE_S = 15.0
AT_ONCE = 8  # files of one process; others wait for their turn


class Fetch:
    """One file as it arrives."""

    def __init__(self, located: Located, hub: Hub) -> None:
        self.located = located
        self.nbytes = located.blob.nbytes
        self._hub = hub
        self._spool = tempfile.TemporaryFile(dir=hub.settings.data)  # noqa: SIM115  # closed by the last who needs it
        self._digest = hashlib.sha256()
        self._written = 0
        self._readable = 0
        self._told_at = 0.0
        self._changed = asyncio.Condition()
        self._failure: Exception | None = None
        self._users = 1

    async def arrive(self, upstream: Upstream) -> None:
        """Get all of it; raises NotThere, UpstreamUnavailable, UpstreamWrong, StorageFull."""
        failures = 0
        while self._written < self.nbytes:
            before = self._written
            try:
                await self._arrive_from(upstream, self._written)
            except UpstreamUnavailable:
                failures = failures + 1 if self._written == before else 1
                if failures == (TRIES if self._written else TRIES_AT_FIRST):
                    raise
                await asyncio.sleep(min(LONGEST_PAUSE_S, 0.5 * 2**failures))
        found = self._digest.hexdigest()
        if found != self.located.blob.sha256:
            raise UpstreamWrong(f"the upstream sent SHA-256 {found} where it announced {self.located.blob.sha256}")
        await self._tell(self.nbytes)

    async def _arrive_from(self, upstream: Upstream, start: int) -> None:
        awaited_by, located = self.located.awaited_by, self.located
        assert awaited_by is not None
        async with upstream.open(awaited_by.address, located.commit, located.path, start) as chunks:
            async for batch in _batches(chunks):
                if self._written + sum(map(len, batch)) > self.nbytes:
                    raise UpstreamWrong(f"the upstream sends more than the {self.nbytes} bytes that it announced")
                await asyncio.to_thread(self._take, batch)
                if self.nbytes > WHOLE_NBYTES and time.monotonic() - self._told_at > TELL_S:
                    # Never the last byte: it is for who knows that the digest is right.
                    await self._tell(min(self._written, self.nbytes - 1))
        if self._written < self.nbytes:
            raise UpstreamUnavailable("the upstream ended a file before its end")

    def _take(self, batch: list[bytes]) -> None:
        for chunk in batch:
            self._digest.update(chunk)
        try:
            self._spool.writelines(batch)
            self._spool.flush()
        except OSError as error:
            raise StorageFull() from error
        self._written += sum(map(len, batch))

    async def _tell(self, readable: int) -> None:
        self._told_at = time.monotonic()
        async with self._changed:
            self._readable = readable
            self._changed.notify_all()

    async def fail(self, failure: Exception) -> None:
        """Tell all readers that no more comes."""
        async with self._changed:
            self._failure = failure
            self._changed.notify_all()

    async def readable(self, start: int) -> int:
        """Up to where the file can be read, once that is beyond `start`; raises what `arrive` does."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._readable > start or self._failure is not None)
            if self._readable <= start and self._failure is not None:
                raise self._failure
            return self._readable

    def read_at(self, start: int, nbytes: int) -> bytes:
        """Bytes that can be read."""
        return os.pread(self._spool.fileno(), nbytes, start)

    def store(self) -> None:
        """Keep the whole file; raises QuotaExceeded, StorageFull."""
        hub, blob = self._hub, self.located.blob
        key = new_raw_key(blob.sha256, UPSTREAM_ORIGIN)
        hub.store.begin(key)
        try:
            part_nbytes = hub.store.limits.part_nbytes_for(self.nbytes, hub.settings.part_nbytes)
            with StagedFile(hub.store, key, part_nbytes) as staged:
                for start in range(0, self.nbytes, MIB):
                    staged.write(self.read_at(start, MIB))
                staged.finish()
        except BaseException:
            hub.store.abort(key)
            raise
        hub.store.finish(key)
        if not hub.db.run(lambda session: self._keep(session, key)):
            hub.store.delete(key)

    def _keep(self, session: Session, key: str) -> bool:
        """Whether the object is needed."""
        blob, awaited_by = self.located.blob, self.located.awaited_by
        assert awaited_by is not None
        is_needed = adopt_raw(session, blob.sha256, blob.nbytes, key)
        repo = session.get(Repo, awaited_by.repo_id)
        if repo is not None and repo.deleted_at is None:
            here = find_blob(session, blob.sha256, keep=True)
            assert here is not None
            session.refresh(here)
            hold(self._hub, session, repo, [(here, self.located.path)])
        return is_needed

    def use(self) -> None:
        """Somebody reads it."""
        self._users += 1

    def leave(self) -> None:
        """They do not any more; after the last one the bytes are gone."""
        self._users -= 1
        if not self._users:
            self._spool.close()


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
        noted = log.bind(path=fetch.located.path, sha256=fetch.located.blob.sha256, nbytes=fetch.nbytes)
        try:
            async with self._slots:
                noted.info("fetching from the upstream")
                await fetch.arrive(self._upstream)
                await asyncio.to_thread(fetch.store)
                noted.info("fetched from the upstream")
        except NotThere:
            noted.warning("the upstream does not have this file any more")
            await fetch.fail(UpstreamUnavailable("the upstream does not have this file any more, and it is not here"))
        except ServiceError as error:
            noted.warning("could not be fetched from the upstream", error=error.message)
            await fetch.fail(error)
        except asyncio.CancelledError:
            await fetch.fail(UpstreamUnavailable("this hub process is being stopped; send the request again"))
            raise
        except Exception as error:
            await fetch.fail(error)
            raise
        finally:
            del self._running[key]
            fetch.leave()


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
    require_room(hub, blob.nbytes)
    free = shutil.disk_usage(hub.settings.data).free
    if free - blob.nbytes < hub.settings.min_free_nbytes:
        raise StorageFull(f"{blob.nbytes} bytes do not fit on their way from the upstream, {free} bytes are free")
    wanted = NewUpload(sha256=blob.sha256, nbytes=blob.nbytes, stored_nbytes=blob.nbytes, stored_sha256=blob.sha256)
    with hub.db.snapshot() as session:
        repo = session.get(Repo, awaited_by.repo_id)
        if repo is not None:
            check_announced(session, hub.settings, repo, wanted)


async def _batches(chunks: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    batch: list[bytes] = []
    gathered = 0
    async for chunk in chunks:
        batch.append(chunk)
        gathered += len(chunk)
        if gathered >= BATCH_NBYTES:
            yield batch
            batch, gathered = [], 0
    if batch:
        yield batch
