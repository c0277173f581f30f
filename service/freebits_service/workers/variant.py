"""Make a variant of a revision: make, then check and publish. Each step may be done again with the same result.

    make      files of the source -> scratch -> symmetric forms and a report,   crash: objects that the collector takes
              each a whole object under a new key                               when the job has ended; done again
    publish   each form expanded in scratch, size and SHA-256 compared; then    crash: done again
              blobs, tree, commit, branch and job in ONE transaction, if the
              attempt is still ours and the branch still a variant's

Nothing names the objects before that transaction, so no reader ever meets a form that was not expanded once. What a
model is refused for parks the job at once, with the reason; whose an attempt is: ``attempts.py``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import structlog
from sqlalchemy.orm import Session

from ..blobs.contents import StoredContent
from ..blobs.keys import job_origin
from ..errors import MirrorReadOnly, NotAVariantBranch, QuotaExceeded, RefExists, RepoNotFound
from ..jobs import queries
from ..models import Commit, Repo, Variant
from ..scratch import Scratch
from ..tensors.digests import TensorDigest
from ..variants.operations import REPORT
from ..variants.publishing import Finished, NewFile, publish
from ..variants.queries import files_of
from .attempts import Attempts, Durably
from .encoder import Refused
from .variant_tasks import Made, MakeVariant, StoredFile, VerifyForm

log = structlog.get_logger()
COPIES = 3  # the source checked out, what is made of it, and the file as it is written
# Waiting does not change these: somebody has to decide something first.
FINAL = (MirrorReadOnly, NotAVariantBranch, QuotaExceeded, RefExists, RepoNotFound)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What an attempt is to make, of which files."""

    variant: Variant
    source: Commit
    repo: str
    files: Sequence[tuple[str, StoredContent]]


@dataclass(frozen=True, slots=True)
class VariantSteps(Attempts):
    """The steps of jobs of kind ``variant``."""

    scratch: Scratch

    def run(self, durably: Durably, job_id: int, attempt: int) -> None:
        """All steps of an attempt."""
        made = durably("make", self.make, job_id, attempt)
        if made is not None:
            durably("publish", self.publish, job_id, attempt, made)

    def make(self, job_id: int, attempt: int) -> Made | None:
        """Make and store it; None when there is nothing (more) to do for the attempt. Raises Refused."""
        wanted = self._run(lambda session: self._wanted(session, job_id, attempt))
        if wanted is None:
            return None
        variant = wanted.variant
        log.info("making a variant", method=variant.method, source=wanted.source.digest, nbytes=variant.nbytes)
        with self.scratch.folder(f"{job_id}-{attempt}", COPIES * variant.nbytes) as folder:
            task = MakeVariant(
                method=variant.method,
                parameters=variant.parameters,
                files=wanted.files,
                folder=folder,
                origin=job_origin(job_id, attempt),
                report_path=REPORT,
                about=_about(job_id, wanted),
                part_nbytes=self.hub.settings.part_nbytes,
                threads=self.hub.settings.encode_threads,
                device=None if self.hub.settings.cuda_device is None else "cuda",
            )
            try:
                return self.encoder.run(task, lambda nbytes: self._note(job_id, attempt, nbytes))
            finally:
                self.encoder.end()  # it may have needed much memory, and what it imported is of no use to others

    def publish(self, job_id: int, attempt: int, made: Made) -> None:
        """Check every file as its readers will get it, then make the revision and end the job. Raises Refused."""
        if not self._still_held(job_id, attempt):
            return
        begun = time.monotonic()
        nbytes = max((file.nbytes for file in made.files), default=0)
        log.info("verifying", files=len(made.files))
        with self.scratch.folder(f"{job_id}-{attempt}", nbytes) as folder:
            checked = [self._checked(job_id, attempt, file, VerifyForm(file, folder)) for file in made.files]
        log.info("publishing")
        finished = Finished(
            files=(*checked, _new_file(made.report, symmetric=False, tensors=None)),
            removed=made.removed,
            before_nbytes=made.before_nbytes,
            after_nbytes=made.after_nbytes,
        )
        try:
            unneeded = self._run(lambda session: self._publish(session, job_id, attempt, finished))
        except FINAL as error:
            raise Refused(f"{error.code}: {error.message}") from error
        for key in unneeded:
            self.hub.store.delete(key)
        log.info("published", verify_s=round(time.monotonic() - begun, 3))

    def _wanted(self, session: Session, job_id: int, attempt: int) -> _Wanted | None:
        job = self._hold(session, job_id, attempt)
        variant = session.get(Variant, job_id) if job is not None else None
        if variant is None:
            return None
        source, repo = session.get_one(Commit, variant.source_id), session.get_one(Repo, variant.repo_id)
        files = [(path, StoredContent.of(blob)) for path, blob in files_of(session, source)]
        return _Wanted(variant, source, repo.full_name, files)

    def _checked(self, job_id: int, attempt: int, file: StoredFile, task: VerifyForm) -> NewFile:
        tensors: list[TensorDigest] = []
        verified = self.encoder.run(task, partial(self._still_held, job_id, attempt), tensors.extend)
        return _new_file(file, symmetric=True, tensors=tensors if verified.tensor_count is not None else None)

    def _still_held(self, job_id: int, attempt: int, _nbytes: int = 0) -> bool:
        """Whether the attempt is still ours; how far one check is says nothing about the whole."""
        return self._run(lambda session: self._hold(session, job_id, attempt) is not None)

    def _publish(self, session: Session, job_id: int, attempt: int, finished: Finished) -> list[str]:
        """Objects that are not needed after all."""
        job = self._hold(session, job_id, attempt)
        if job is None:
            return []
        commit, unneeded = publish(self.hub, session, session.get_one(Variant, job_id), finished)
        queries.finish_job(session, job, f"the branch is at {commit.digest}", None)
        return unneeded


def _about(job_id: int, wanted: _Wanted) -> dict[str, Any]:
    """What the report says of where the variant comes from."""
    return {
        "repo": wanted.repo,
        "source": wanted.source.digest,
        "branch": wanted.variant.branch,
        "parameters": wanted.variant.parameters,
        "job": job_id,
        "version": version("freebits"),
    }


def _new_file(file: StoredFile, *, symmetric: bool, tensors: list[TensorDigest] | None) -> NewFile:
    return NewFile(
        path=file.path,
        sha256=file.sha256,
        nbytes=file.nbytes,
        key=file.key,
        stored=(file.stored_nbytes, file.stored_sha256),
        symmetric=symmetric,
        tensors=tensors,
    )
