"""Encode a blob: encode, decode again and compare, swap. Each step may be done again with the same result.

    encode  raw object -> container in the staging area             crash: staged bytes, swept later; done again
    verify  container -> SHA-256 of the original, compared          crash: done again
    swap    container gets its key; then blob and job in ONE        crash between: object that only this attempt
            transaction, if this attempt is still the current one   can own, found there when the step is done again

The raw object stays. The collector lets it go when the grace period is over and nobody reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import structlog

from ..blobs.keys import container_key, job_origin
from ..blobs.queries import is_container_in_use, settle_raw, swap_to_container
from ..clock import in_seconds
from ..context import Hub
from ..errors import StorageFull
from ..jobs import queries
from ..models import Blob
from .encoder import Encode, Encoded, EncoderProcess, Verify

log = structlog.get_logger()
NOT_SMALLER = "kept as it is: encoding does not make it smaller"
Container = dict[str, Any]  # what the engine records between steps: {"handle", "nbytes", "sha256", "encode_s"}


@dataclass(frozen=True, slots=True)
class EncodeSteps:
    """The steps of one worker."""

    hub: Hub
    encoder: EncoderProcess
    worker_id: str

    def encode(self, job_id: int, attempt: int) -> Container | None:
        """Take the attempt and encode; None when there is nothing (more) to do for it."""
        blob = self._take(job_id, attempt)
        if blob is None or blob.raw_key is None:
            return None
        handle = self.hub.store.begin()
        task = Encode(blob.raw_key, handle, blob.sha256, self.hub.settings.encode_threads)
        try:
            container = self.encoder.run(task, lambda nbytes: self._note(job_id, attempt, nbytes))
        except BaseException:
            self.hub.store.abort(handle)
            raise
        assert isinstance(container, Encoded)
        if container.nbytes >= blob.nbytes:
            self.hub.store.abort(handle)
            self._keep_raw(job_id, attempt, blob, container.encode_s)
            return None
        return {
            "handle": handle,
            "nbytes": container.nbytes,
            "sha256": container.sha256,
            "encode_s": container.encode_s,
        }

    def verify(self, job_id: int, attempt: int, container: Container) -> None:
        """Decode what was staged and compare digests; raises EncodingFailed when they differ."""
        blob = self._take(job_id, attempt)
        if blob is None:
            return
        task = Verify(container["handle"], container["nbytes"], container["sha256"], blob.nbytes, blob.sha256)
        self.encoder.run(task, lambda _: self._note(job_id, attempt, blob.nbytes))

    def swap(self, job_id: int, attempt: int, container: Container) -> None:
        """Serve the blob from the container from now on, and end the job."""
        key = container_key(container["sha256"], job_origin(job_id, attempt))
        if not self._is_current(job_id, attempt):
            self._drop(container["handle"], key)
            return
        self.hub.store.finish(container["handle"], key)
        if not self._swap(job_id, attempt, container, key):
            self._drop(container["handle"], key)

    def record_failure(self, job_id: int, attempt: int, error: Exception) -> None:
        """Queue the job again with a longer wait, or park it; a full disk is waited for without end."""
        settings = self.hub.settings
        with self.hub.db.transaction() as session:
            job = queries.hold_attempt(session, job_id, attempt, self.worker_id)
            if job is None:
                return
            failures = job.failures + 1
            is_final = failures >= settings.job_max_attempts and not isinstance(error, StorageFull)
            wait_s = min(settings.job_backoff_s * 2 ** min(failures - 1, 16), 3600)
            queries.fail_attempt(
                session,
                job_id,
                attempt,
                state="parked" if is_final else "queued",
                failures=failures,
                not_before=in_seconds(wait_s),
                outcome=f"{type(error).__name__}: {error}"[:2000],
            )
            if is_final:
                settle_raw(session, job.blob_id)
        log.warning("a job failed", job_id=job_id, attempt=attempt, parked=is_final, error=str(error)[:500])

    def _take(self, job_id: int, attempt: int) -> Blob | None:
        """The blob of the job, if this attempt is, or now becomes, the current one."""
        with self.hub.db.transaction() as session:
            queries.start_attempt(session, job_id, attempt, self.worker_id)
            job = queries.hold_attempt(session, job_id, attempt, self.worker_id)
            return session.get(Blob, job.blob_id) if job is not None else None

    def _note(self, job_id: int, attempt: int, nbytes: int) -> bool:
        with self.hub.db.transaction() as session:
            return queries.set_progress(session, job_id, attempt, nbytes)

    def _keep_raw(self, job_id: int, attempt: int, blob: Blob, encode_s: float) -> None:
        with self.hub.db.transaction() as session:
            if queries.finish_job(session, job_id, attempt, NOT_SMALLER, encode_s):
                settle_raw(session, blob.id)

    def _is_current(self, job_id: int, attempt: int) -> bool:
        with self.hub.db.transaction() as session:
            return queries.hold_attempt(session, job_id, attempt, self.worker_id) is not None

    def _swap(self, job_id: int, attempt: int, container: Container, key: str) -> bool:
        with self.hub.db.transaction() as session:
            job = queries.hold_attempt(session, job_id, attempt, self.worker_id)
            if job is None:
                return False
            stored = (container["nbytes"], container["sha256"])
            swapped = swap_to_container(session, job.blob_id, key, stored)
            outcome = "encoded" if swapped else "was encoded meanwhile"
            queries.finish_job(session, job_id, attempt, outcome, container["encode_s"])
            return swapped

    def _drop(self, handle: str, key: str) -> None:
        """Remove what nobody will use, unless this very attempt has swapped before (the step is done again)."""
        self.hub.store.abort(handle)
        with self.hub.db.snapshot() as session:
            in_use = is_container_in_use(session, key)
        if not in_use:
            self.hub.store.delete(key)
