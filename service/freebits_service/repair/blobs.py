"""Check the copies of every blob, note damage, and put right what can be.

Damage is always noted in the blob's row, so that the hub answers BLOB_DAMAGED instead of trying; the note goes when the
bytes are found whole again. Everything else changes only with `repair`, in a statement that names where the blob lay
when it was examined: what was moved meanwhile is examined again instead.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

from sqlalchemy.orm import Session

from ..blobs.queries import fall_back_to_raw, forget_raw_copy, mark_damaged
from ..clock import now
from ..collection.operations import has_raw_copy
from ..collection.queries import held_blob_ids, look_again
from ..context import Hub
from ..jobs.queries import encode_again
from ..models import Blob
from ..scratch import Scratch
from ..tensors.digests import ContainerIndexer
from ..tensors.queries import add_tensors, forget_tensors, set_tensor_count
from . import queries
from .copies import Depth, Passing, Problem, examine_container, examine_raw
from .findings import Finding, Report

BATCH = 200
TRIES = 8
FILES_NAMED = 5


@dataclass(frozen=True, slots=True)
class BlobCheck:
    """How to check blobs."""

    hub: Hub
    report: Report
    depth: Depth
    repair: bool
    rebuild_tensors: bool
    passing: Passing
    scratch: Scratch
    between: Callable[[], None]

    def check_all(self) -> None:
        """Every blob, by row id."""
        last = 0
        while True:
            with self.hub.db.snapshot() as session:
                blobs = queries.blobs_after(session, last, BATCH)
                tensors = queries.tensor_counts(session, [blob.id for blob in blobs])
                idle = queries.encoding_without_job(session, [blob.id for blob in blobs])
                held = held_blob_ids(session, [blob.id for blob in blobs])
            if not blobs:
                return
            for blob in blobs:
                self._check_rows(blob, tensors.get(blob.id, 0), blob.id in idle, blob.id in held)
                self._check_copies(blob)
                self.report.blobs += 1
                self.report.on_progress(self.report)
                self.between()
            last = blobs[-1].id

    def _check_rows(self, blob: Blob, tensors: int, is_idle: bool, is_held: bool) -> None:
        if blob.tensor_count is not None and blob.tensor_count != tensors:
            self._check_tensor_count(blob)
        if is_idle:
            self._check_idle(blob)
        if blob.look_at is None and (has_raw_copy(blob) or not is_held):
            done = self._write(self.repair, lambda session: look_again(session, [blob.id], now()), "will be looked at")
            detail = "the collector would never look at it, though it may not be needed"
            self.report.add(Finding("uncollected", f"blob {blob.sha256}", detail, is_damage=False, done=done))

    def _check_tensor_count(self, blob: Blob) -> None:
        with self.hub.db.snapshot() as session:
            again = session.get(Blob, blob.id)
            tensors = queries.count_tensors(session, blob.id)
        if again is None or again.tensor_count in {None, tensors}:
            return
        done = self._write(self.repair, lambda session: forget_tensors(session, blob.id), "forgotten, to be rebuilt")
        detail = f"{tensors} of {again.tensor_count} tensors are in the index; rebuild it (--rebuild-tensors)"
        self.report.add(Finding("tensor-index", f"blob {blob.sha256}", detail, done=done))

    def _check_idle(self, blob: Blob) -> None:
        with self.hub.db.snapshot() as session:
            if not queries.encoding_without_job(session, [blob.id]):
                return
        done = self._write(
            self.repair,
            lambda session: encode_again(session, blob, self.hub.settings.encode_queue),
            "encoding queued again",
        )
        self.report.add(Finding("no-job", f"blob {blob.sha256}", "waits for an encoding that nobody makes", done=done))

    def _check_copies(self, blob: Blob) -> None:
        """Examine until nothing moved meanwhile, then say what was found."""
        current: Blob | None = blob
        for _ in range(TRIES):
            assert current is not None
            raw, container = self._examine(current)
            with self.hub.db.snapshot() as session:
                again = session.get(Blob, blob.id)
            if again is None:
                return
            if _place(again) == _place(current):
                self._conclude(again, raw, container)
                return
            current = again

    def _examine(self, blob: Blob) -> tuple[Problem | None, Problem | None]:
        raw = examine_raw(self.hub.store, blob, self.depth, self.passing) if blob.raw_key else None
        self.report.objects += (blob.raw_key is not None) + (blob.container_key is not None)
        if blob.state == "remote":
            return None, None
        if blob.container_key is None:
            return raw or (None if blob.raw_key else Problem("nowhere", "the database names no object for it")), None
        if not self.rebuild_tensors:
            return raw, self._examine_container(blob)
        return raw, self._examine_and_index(blob)

    def _examine_and_index(self, blob: Blob) -> Problem | None:
        """Decode once for both; what is indexed counts only when the container is whole."""
        indexer = ContainerIndexer(lambda found: self._index(blob, lambda s: add_tensors(s, blob.id, found)))
        self._index(blob, lambda session: forget_tensors(session, blob.id))
        problem = self._examine_container(blob, indexer)
        if problem is not None:
            self._index(blob, lambda session: forget_tensors(session, blob.id))
            return problem
        count = indexer.finish()
        if count is not None:
            self._index(blob, lambda session: set_tensor_count(session, blob.id, count))
        return None

    def _examine_container(self, blob: Blob, indexer: ContainerIndexer | None = None) -> Problem | None:
        is_expanded = blob.symmetric and (self.depth == "deep" or indexer is not None)
        with self.scratch.folder("fsck", blob.nbytes) if is_expanded else nullcontext() as folder:
            return examine_container(self.hub.store, blob, self.depth, self.passing, folder, indexer)

    def _index(self, blob: Blob, write: Callable[[Session], None]) -> None:
        with self.hub.db.transaction() as session:
            if session.get(Blob, blob.id, with_for_update={"key_share": True, "read": True}) is not None:
                write(session)

    def _conclude(self, blob: Blob, raw: Problem | None, container: Problem | None) -> None:
        served = container if blob.container_key else raw
        if served is not None and not served.is_damage:
            self.report.add(Finding(served.kind, f"blob {blob.sha256}", served.detail, is_damage=False))
        elif served is not None:
            self._report_damage(
                blob, served, can_fall_back=blob.container_key is not None and self._has_whole_raw(blob, raw)
            )
        elif raw is not None:
            done = self._write(self.repair, lambda s: forget_raw_copy(s, blob), "forgotten: the container is whole")
            self.report.add(Finding(raw.kind, f"raw copy of blob {blob.sha256}", raw.detail, done=done))
        elif blob.damaged_at is not None and self.depth != "fast":
            done = self._write(True, lambda session: mark_damaged(session, blob, False), "served again")
            self.report.add(
                Finding("whole-again", f"blob {blob.sha256}", "was damaged and is whole", is_damage=False, done=done)
            )

    def _has_whole_raw(self, blob: Blob, raw: Problem | None) -> bool:
        """Whether there is a raw copy to serve instead; its bytes are compared even if only sizes were asked for."""
        if blob.raw_key is None or raw is not None:
            return False
        return self.depth != "fast" or examine_raw(self.hub.store, blob, "bytes", self.passing) is None

    def _report_damage(self, blob: Blob, problem: Problem, can_fall_back: bool) -> None:
        with self.hub.db.transaction() as session:
            marked = mark_damaged(session, blob, True)
            files = tuple(queries.files_of(session, blob.id, FILES_NAMED))
        if not marked:
            self._check_copies(blob)
            return
        done = "answered with BLOB_DAMAGED"
        if self.repair and can_fall_back:
            done = self._write(True, lambda session: self._fall_back(session, blob), "raw copy served, encoded again")
        detail = problem.detail + ("; the raw copy is whole (--repair)" if can_fall_back and not self.repair else "")
        self.report.add(Finding(problem.kind, f"blob {blob.sha256}", detail, done=done, files=files))

    def _fall_back(self, session: Session, blob: Blob) -> None:
        if fall_back_to_raw(session, blob):
            again = session.get_one(Blob, blob.id, populate_existing=True)
            encode_again(session, again, self.hub.settings.encode_queue)

    def _write(self, wanted: bool, write: Callable[[Session], object], done: str) -> str:
        """Do it in a transaction if wanted; what to say about it."""
        if not wanted:
            return ""
        with self.hub.db.transaction() as session:
            write(session)
        return done


def _place(blob: Blob) -> tuple[str | None, str | None]:
    return blob.raw_key, blob.container_key
