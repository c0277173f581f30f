"""Expand what readers ask for: each file once however many wait for it, in a process that can be killed.

The event loop only waits. A file that is expanded already costs opening it; for one that is not a child process writes
it (`workers.encoder`), a few at once, and all its readers wait for the same task and hold no thread meanwhile.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack
from typing import Self

import structlog

from ..blobs.contents import StoredContent
from ..blobs.local_reader import LocalReader
from ..blobs.store import ObjectNotFound
from ..context import Hub
from ..downloads.leases import OpenBlobs
from ..errors import BlobDamaged, ExpansionFailed, ServiceError, ShuttingDown
from ..metrics import EXPANDED, EXPANSIONS
from ..models import Blob
from ..workers.encoder import Cancelled, EncoderDied, EncoderProcess, EncodingFailed
from ..workers.variant_tasks import WriteFile
from .files import ExpandedFiles

log = structlog.get_logger()
AT_ONCE = 2  # files of one process; each takes a core and may take much memory


class Expansion:
    """One file on its way, or here; to be left by everybody who was given it. `use` and `leave` are for any thread."""

    def __init__(self, content: StoredContent) -> None:
        self.content = content
        self.users = 0
        self._lock = threading.Lock()
        self._open: LocalReader | None = None
        self._arrival: asyncio.Future[LocalReader] = asyncio.get_running_loop().create_future()

    @property
    def is_here(self) -> bool:
        """Whether it can be read."""
        return self._open is not None

    async def reader(self) -> LocalReader:
        """The file, once it is here; closed when the last user leaves. Raises what became of it instead."""
        return await asyncio.shield(self._arrival)

    def arrive(self, reader: LocalReader) -> None:
        """The file is here."""
        self._open = reader
        self._arrival.set_result(reader)

    def fail(self, error: Exception) -> None:
        """It will not be."""
        self._arrival.set_exception(error)
        self._arrival.exception()  # also when nobody is left to be told

    def use(self) -> Self:
        """Somebody waits for it or reads it."""
        with self._lock:
            self.users += 1
        return self

    def leave(self) -> None:
        """They do not any more."""
        with self._lock:
            self.users -= 1
            is_last = not self.users
        if is_last and self._open is not None:
            self._open.close()


class Expansions:
    """The expanded files of this process. Use from one event loop."""

    def __init__(self, hub: Hub, open_blobs: OpenBlobs) -> None:
        self._hub, self._open_blobs = hub, open_blobs
        settings = hub.settings
        self._files = ExpandedFiles(settings.data / "expanded", settings.expanded_nbytes, settings.min_free_nbytes)
        self._running: dict[str, Expansion] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._children: set[EncoderProcess] = set()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._is_closed = False

    async def join(self, blob: Blob) -> Expansion:
        """The file of a blob in a symmetric form, begun if need be, to be left afterwards. Raises BlobDamaged."""
        content = StoredContent.of(blob)
        here = await asyncio.to_thread(self._files.open, content.sha256)
        if here is not None:
            expansion = Expansion(content).use()
            expansion.arrive(here)
            return expansion
        running = self._running.get(content.sha256)
        if running is None:  # nobody else came while we looked
            running = self._running[content.sha256] = Expansion(content)
            task = asyncio.create_task(self._run(running, blob.id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return running.use()

    def forget(self, sha256: str) -> None:
        """A file turned out to be damaged on this disk: the next reader has it expanded again."""
        self._files.forget(sha256)

    async def close(self) -> None:
        """Give up all that is not here yet."""
        self._is_closed = True
        for child in self._children:
            child.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, expansion: Expansion, blob_id: int) -> None:
        content, outcome = expansion.content, "ok"
        expansion.use()
        try:
            async with self._slots:
                if expansion.users == 1 or self._is_closed:  # whoever wanted it has left meanwhile
                    raise ShuttingDown if self._is_closed else Cancelled("nobody waits for it any more")
                self._open_blobs.opened(blob_id)
                try:
                    expansion.arrive(await asyncio.to_thread(self._expand, content))
                finally:
                    self._open_blobs.closed(blob_id)
            EXPANDED.inc(content.nbytes)
        except Exception as error:
            outcome = type(error).__name__
            expansion.fail(error)
            if not isinstance(error, ServiceError | ObjectNotFound | Cancelled):
                raise
        finally:
            del self._running[content.sha256]
            expansion.leave()
            EXPANSIONS.labels(outcome).inc()
            log.info("a file is expanded", sha256=content.sha256, nbytes=content.nbytes, outcome=outcome)

    def _expand(self, content: StoredContent) -> LocalReader:
        """Raises BlobDamaged, ObjectNotFound, StorageFull, Unavailable, ExpansionFailed, ShuttingDown."""
        here = self._files.open(content.sha256)
        if here is not None:  # it arrived between a reader's look and this moment
            return here
        path = self._files.begin(content.sha256, content.nbytes)
        child = EncoderProcess(self._hub.settings)
        self._children.add(child)
        try:
            with ExitStack() as undo:
                undo.callback(self._files.drop, path)
                task = WriteFile(content, path, self._hub.settings.encode_threads)
                written = child.run(task, lambda _: not self._is_closed)
                if written.outcome == "damaged":
                    raise BlobDamaged(content.sha256)
                if written.outcome == "missing":
                    raise ObjectNotFound(content.key)
                if written.outcome == "impossible":
                    raise ExpansionFailed(content.sha256, written.why)
                self._files.keep(content.sha256, path)
                undo.pop_all()
        except (EncoderDied, EncodingFailed, Cancelled) as error:
            raise (ShuttingDown() if self._is_closed else ExpansionFailed(content.sha256, str(error))) from error
        finally:
            self._children.discard(child)
            child.end()  # what it needed for one file is no use for the next
        reader = self._files.open(content.sha256)
        if reader is None:
            raise ExpansionFailed(content.sha256, "the folder of expanded files was emptied at this moment; try again")
        return reader
