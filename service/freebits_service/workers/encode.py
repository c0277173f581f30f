"""Encode a blob: encode, decode again and compare, swap. Each step may be done again with the same result.

    encode  raw object -> parts of a container under a new key      crash: parts, swept later; done again
    verify  parts -> container -> SHA-256 of the original, compared crash: done again
    swap    blob and job in ONE transaction, if the attempt is      crash: done again
            still ours

A container that nobody came to name is the collector's. The raw object stays; the collector lets it go when the grace
period is over and nobody reads it. Whose an attempt is: ``attempts.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog
from sqlalchemy.orm import Session

from ..blobs.keys import job_origin, new_container_key
from ..blobs.queries import settle_raw, swap_to_container
from ..errors import Unavailable
from ..jobs import queries
from ..metrics import ENCODE_SECONDS, ENCODED_BYTES, ENCODED_FILES
from ..models import Blob
from ..tensors.queries import add_tensors, forget_tensors, set_tensor_count
from .attempts import Attempts, Durably
from .encoding_tasks import Encode, Verify

log = structlog.get_logger()
NOT_SMALLER = "kept as it is: encoding does not make it smaller"
Container = dict[str, Any]  # what the engine records between steps: {"key", "nbytes", "sha256", "encode_s"}


class EncodeSteps(Attempts):
    """The steps of jobs of kind ``encode``."""

    __slots__ = ()

    def run(self, durably: Durably, job_id: int, attempt: int) -> None:
        """All steps of an attempt."""
        container = durably("encode", self.encode, job_id, attempt)
        if container is not None:
            durably("verify", self.verify, job_id, attempt, container)
            durably("swap", self.swap, job_id, attempt, container)

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
        count = verified.tensor_count
        if count is not None:
            self._index(job_id, attempt, lambda session: set_tensor_count(session, blob.id, count))

    def swap(self, job_id: int, attempt: int, container: Container) -> None:
        """Serve the blob from the container from now on, and end the job."""
        log.info("swapping")
        self._run(lambda session: self._swap(session, job_id, attempt, container))

    def _blob(self, job_id: int, attempt: int) -> Blob | None:
        """The blob of the job, if the attempt is still ours."""

        def find(session: Session) -> Blob | None:
            job = self._hold(session, job_id, attempt)
            return session.get(Blob, job.blob_id) if job is not None else None

        return self._run(find)

    def _index(self, job_id: int, attempt: int, write: Callable[[Session], None]) -> None:
        """Write to the tensor index, if this attempt is still the current one: no two write about one blob."""

        def write_if_held(session: Session) -> None:
            if self._hold(session, job_id, attempt) is not None:
                write(session)

        self._run(write_if_held)

    def _keep_raw(self, session: Session, job_id: int, attempt: int, encode_s: float) -> None:
        job = self._hold(session, job_id, attempt)
        if job is not None:
            queries.finish_job(session, job, NOT_SMALLER, encode_s)
            settle_raw(session, job.blob_id)

    def _swap(self, session: Session, job_id: int, attempt: int, container: Container) -> None:
        job = self._hold(session, job_id, attempt)
        if job is None:
            return
        assert job.blob_id is not None
        stored = (container["nbytes"], container["sha256"])
        swapped = swap_to_container(session, job.blob_id, container["key"], stored)
        queries.finish_job(session, job, "encoded" if swapped else "was encoded meanwhile", container["encode_s"])
