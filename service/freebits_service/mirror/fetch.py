"""One file on its way from the upstream: received, verified, kept, and read by many meanwhile.

    arrive    into a file without a name, front to back; a cut connection is gone on with where it broke
    verify    size and SHA-256; the last bytes are given to readers only when these are right
    store     under a key that only this fetch has                                           crash: an orphan
    known     one transaction: the blob has its bytes, the repo holds it, a worker encodes it

A crash before the last step leaves nothing that anybody finds. Nothing of it is on the event loop for long: hashing,
writing and reading is done in threads.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack

from sqlalchemy.orm import Session

from ..blobs.files import StagedFile
from ..blobs.keys import UPSTREAM_ORIGIN, new_raw_key
from ..blobs.local_parts import storage_full_translated
from ..blobs.queries import adopt_raw, find_blob
from ..context import Hub
from ..downloads.locate import Located
from ..errors import UpstreamUnavailable, UpstreamWrong
from ..metrics import FETCHED
from ..models import Repo
from ..settings import MIB
from .keeping import hold
from .upstream import Upstream

BATCH_NBYTES = MIB
TELL_S = 0.05  # readers are woken no more often than that
WHOLE_NBYTES = MIB  # of shorter files nobody sees a byte before all are right
TRIES = 6  # in a row that bring nothing more
TRIES_AT_FIRST = 2  # of a file of which nothing has come: its readers are told while they can be
LONGEST_PAUSE_S = 15.0


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
        with storage_full_translated():
            self._spool.writelines(batch)
            self._spool.flush()
        received = sum(map(len, batch))
        self._written += received
        FETCHED.inc(received)

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
        with ExitStack() as undo:
            undo.callback(hub.store.abort, key)
            part_nbytes = hub.store.limits.part_nbytes_for(self.nbytes, hub.settings.part_nbytes)
            with StagedFile(hub.store, key, part_nbytes) as staged:
                for start in range(0, self.nbytes, MIB):
                    staged.write(self.read_at(start, MIB))
                staged.finish()
            undo.pop_all()
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
