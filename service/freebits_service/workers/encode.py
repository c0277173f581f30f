"""Encode a blob: encode, decode again and compare, swap. Each step may be done again with the same result.

    encode  raw object -> parts of a container under a new key      crash: parts, swept later; done again
    verify  parts -> container -> SHA-256 of the original, compared crash: done again
    swap    blob and job in ONE transaction, if the attempt is      crash: done again
            still ours

A container that nobody came to name is the collector's. The raw object stays; the collector lets it go when the grace
period is over and nobody reads it.

An attempt belongs to the worker that its row names, and every statement about it says so (``WHERE attempt = ...
AND worker_id = ...``). A worker that was taken for dead and wakes up finds that out at its next statement, and from
then on touches nothing: another one may be at the same attempt, on the same staged bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from sqlalchemy.orm import Session

from .. import telemetry
from ..blobs.keys import job_origin, new_container_key
from ..blobs.queries import settle_raw, swap_to_container
from ..clock import in_seconds
from ..context import Hub
from ..errors import StorageFull, Unavailable
from ..jobs import queries
from ..metrics import ENCODE_SECONDS, ENCODED_BYTES, ENCODED_FILES, FAILED_ATTEMPTS
from ..models import Blob, Job
from ..tensors.queries import add_tensors, forget_tensors, set_tensor_count
from .encoder import Encode, Encoded, EncoderProcess, Verified, Verify

log = structlog.get_logger()
NOT_SMALLER = "kept as it is: encoding does not make it smaller"
WAITED_FOR = (StorageFull, Unavailable)  # no fault of the job: tried again without end, never parked
LONGEST_BACKOFF_S = 3600.0
LONGEST_WAIT_S = 60.0
WAIT_IN_BACKOFFS = 12
Container = dict[str, Any]  # what the engine records between steps: {"key", "nbytes", "sha256", "encode_s"}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EncodeSteps:
    """The steps of one worker."""

    hub: Hub
    encoder: EncoderProcess
    worker_id: str

    @contextmanager
    def held(self, job_id: int, attempt: int) -> Iterator[bool]:
        """Whether the attempt is this worker's, or nobody's and now this worker's; what is logged says for whom."""
        job = self._run(lambda session: queries.adopt_attempt(session, job_id, attempt, self.worker_id))
        request_id = job.request_id if job is not None else None
        parent = job.trace_parent if job is not None else None
        with (
            structlog.contextvars.bound_contextvars(
                job_id=job_id, attempt=attempt, worker=self.worker_id, request_id=request_id
            ),
            telemetry.span("attempt", parent, job_id=job_id, attempt=attempt, request_id=request_id or ""),
        ):
            log.info("attempt begins" if job is not None else "not ours to do")
            yield job is not None

    def encode(self, job_id: int, attempt: int) -> Container | None:
        """Encode; None when there is nothing (more) to do for the attempt."""
        blob = self._blob(job_id, attempt)
        if blob is None or blob.raw_key is None:
            return None
        log.info("encoding", nbytes=blob.nbytes, sha256=blob.sha256)
        store, settings = self.hub.store, self.hub.settings
        key = new_container_key(blob.sha256, job_origin(job_id, attempt))
        # A container is hardly larger than its file, but how large is only known at the end.
        part_nbytes = store.limits.part_nbytes_for(2 * blob.nbytes, settings.part_nbytes)
        store.begin(key)
        task = Encode(blob.raw_key, key, part_nbytes, blob.sha256, settings.encode_threads)
        try:
            container = self.encoder.run(task, lambda nbytes: self._note(job_id, attempt, nbytes))
        except BaseException:
            with suppress(Unavailable):  # the collector does it then; the error to tell is the first
                store.abort(key)
            raise
        assert isinstance(container, Encoded)
        ENCODED_FILES.inc()
        ENCODED_BYTES.inc(blob.nbytes)
        ENCODE_SECONDS.inc(container.encode_s)
        if container.nbytes >= blob.nbytes:
            store.abort(key)
            self._run(lambda session: self._keep_raw(session, job_id, attempt, container.encode_s))
            return None
        return {
            "key": key,
            "nbytes": container.nbytes,
            "sha256": container.sha256,
            "encode_s": container.encode_s,
        }

    def verify(self, job_id: int, attempt: int, container: Container) -> None:
        """Finish the container, decode it and compare digests; raises EncodingFailed when they differ.

        The same pass fills the tensor index. What it says holds for the blob however it is stored, so it may be there
        before the swap; it counts only when it is whole.
        """
        blob = self._blob(job_id, attempt)
        if blob is None:
            return
        log.info("verifying")
        self.hub.store.finish(container["key"])
        task = Verify(container["key"], container["nbytes"], container["sha256"], blob.nbytes, blob.sha256)
        self._index(job_id, attempt, lambda session: forget_tensors(session, blob.id))
        verified = self.encoder.run(
            task,
            lambda _: self._note(job_id, attempt, blob.nbytes),
            lambda found: self._index(job_id, attempt, lambda session: add_tensors(session, blob.id, found)),
        )
        assert isinstance(verified, Verified)
        count = verified.tensor_count
        if count is not None:
            self._index(job_id, attempt, lambda session: set_tensor_count(session, blob.id, count))

    def swap(self, job_id: int, attempt: int, container: Container) -> None:
        """Serve the blob from the container from now on, and end the job."""
        log.info("swapping")
        self._run(lambda session: self._swap(session, job_id, attempt, container))

    def record_failure(self, job_id: int, attempt: int, error: Exception) -> None:
        """Queue the job again with a longer wait, or park it; what is no fault of the job is waited for."""
        state = self._run(lambda session: self._record_failure(session, job_id, attempt, error))
        if state is not None:
            FAILED_ATTEMPTS.labels(type(error).__name__).inc()
            log.warning("an attempt failed", job_id=job_id, attempt=attempt, state=state, error=str(error)[:500])

    def _run(self, work: Callable[[Session], T]) -> T:
        """A transaction that waits for a database that is away: its absence fails no job."""
        return self.hub.db.run(work, patience_s=math.inf)

    def _blob(self, job_id: int, attempt: int) -> Blob | None:
        """The blob of the job, if the attempt is still ours."""

        def find(session: Session) -> Blob | None:
            job = queries.hold_attempt(session, job_id, attempt, self.worker_id)
            return session.get(Blob, job.blob_id) if job is not None else None

        return self._run(find)

    def _index(self, job_id: int, attempt: int, write: Callable[[Session], None]) -> None:
        """Write to the tensor index, if this attempt is still the current one: no two write about one blob."""

        def write_if_held(session: Session) -> None:
            if queries.hold_attempt(session, job_id, attempt, self.worker_id) is not None:
                write(session)

        self._run(write_if_held)

    def _note(self, job_id: int, attempt: int, nbytes: int) -> bool:
        return self._run(lambda session: queries.set_progress(session, job_id, attempt, self.worker_id, nbytes))

    def _keep_raw(self, session: Session, job_id: int, attempt: int, encode_s: float) -> None:
        job = queries.hold_attempt(session, job_id, attempt, self.worker_id)
        if job is not None:
            queries.finish_job(session, job, NOT_SMALLER, encode_s)
            settle_raw(session, job.blob_id)

    def _swap(self, session: Session, job_id: int, attempt: int, container: Container) -> None:
        job = queries.hold_attempt(session, job_id, attempt, self.worker_id)
        if job is None:
            return
        stored = (container["nbytes"], container["sha256"])
        swapped = swap_to_container(session, job.blob_id, container["key"], stored)
        queries.finish_job(session, job, "encoded" if swapped else "was encoded meanwhile", container["encode_s"])

    def _record_failure(self, session: Session, job_id: int, attempt: int, error: Exception) -> str | None:
        job = queries.hold_attempt(session, job_id, attempt, self.worker_id)
        if job is None:
            return None
        failures = job.failures + (not isinstance(error, WAITED_FOR))
        is_final = failures >= self.hub.settings.job_max_attempts
        wait_s = self._wait_s(job, error)
        outcome = f"{type(error).__name__}: {error}"[:2000].replace("\0", "")
        queries.fail_attempt(
            session, job, parks=is_final, failures=failures, not_before=in_seconds(wait_s), outcome=outcome
        )
        if is_final:
            settle_raw(session, job.blob_id)
        return "parked" if is_final else "queued"

    def _wait_s(self, job: Job, error: Exception) -> float:
        backoff_s = self.hub.settings.job_backoff_s
        if isinstance(error, WAITED_FOR):
            return min(WAIT_IN_BACKOFFS * backoff_s, LONGEST_WAIT_S)
        return min(backoff_s * 2.0 ** min(job.failures, 16), LONGEST_BACKOFF_S)
