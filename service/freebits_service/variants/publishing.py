"""Make a finished variant a revision: one transaction, as of a commit, of the job that made it.

It has the files of its source but for those that others take the place of. Content that the hub has already stays as it
is stored; the repo's namespace pays as for an upload.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from ..accounts.queries import record
from ..blobs import queries as blobs
from ..commits.operations import add_commit, is_worth_encoding, set_head
from ..commits.queries import hold_blobs
from ..context import Hub
from ..errors import MirrorReadOnly, RepoNotFound
from ..jobs.queries import Asked, add_encode_jobs
from ..models import Blob, Commit, Repo, Variant
from ..models.jobs import BACKGROUND
from ..names import check_path
from ..quotas.operations import charge
from ..tensors.digests import TensorDigest
from ..tensors.queries import add_tensors, forget_tensors, set_tensor_count
from ..trees.operations import store_edited
from ..trees.pages import Leaf
from ..uploads.completion import MAX_TENSORS
from .operations import variant_head


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file of a variant and the object that holds it: a symmetric form of size and digest `stored`, or its bytes."""

    path: str
    sha256: str
    nbytes: int
    key: str
    stored: tuple[int, str]
    symmetric: bool
    tensors: Sequence[TensorDigest] | None


@dataclass(frozen=True, slots=True)
class Finished:
    """What a variant has beside the files of its source that stay, which are all but those `removed`."""

    files: Sequence[NewFile]
    removed: Sequence[str]
    before_nbytes: int
    after_nbytes: int


def publish(hub: Hub, session: Session, variant: Variant, finished: Finished) -> tuple[Commit, list[str]]:
    """The commit that the branch is at from now on, and the keys of objects that are not needed.

    Raises RepoNotFound, MirrorReadOnly, NotAVariantBranch, RefExists, QuotaExceeded, HeadMoved, InvalidPath.
    """
    repo = _repo(session, variant)
    head = variant_head(session, repo, variant.branch)
    source = session.get_one(Commit, variant.source_id)
    kept = [_keep(session, file) for file in finished.files]
    blobs_by_path = {check_path(file.path): blob for file, (blob, _) in zip(finished.files, kept, strict=True)}
    leaves = {path: Leaf(path, blob.id, blob.sha256, blob.nbytes) for path, blob in blobs_by_path.items()}
    changes = {**dict.fromkeys(finished.removed), **leaves}
    tree = store_edited(session, repo.id, source.tree_id, changes)
    message = f"{variant.method} of {source.digest}"
    row = add_commit(session, repo, head or source, tree, variant.author, message, "")
    held = sorted({blob.id: blob for blob, _ in kept}.values(), key=lambda blob: blob.id)
    added = hold_blobs(session, repo.id, [blob.id for blob in held])
    paths = {blob.sha256: path for path, blob in blobs_by_path.items()}
    worth = [blob for blob in held if is_worth_encoding(hub, blob)]
    add_encode_jobs(session, worth, hub.settings.encode_queue, Asked(repo.full_name, paths=paths, priority=BACKGROUND))
    charge(session, hub.settings, repo, added)
    facts: dict[str, Any] = {"branch": variant.branch, "commit": row.digest, "job": variant.job_id}
    record(session, variant.author, "variant.publish", repo.full_name, **facts)
    set_head(session, repo, variant.branch, head, row)
    variant.commit_id = row.id
    variant.before_nbytes, variant.after_nbytes = finished.before_nbytes, finished.after_nbytes
    return row, [file.key for file, (_, is_needed) in zip(finished.files, kept, strict=True) if not is_needed]


def _repo(session: Session, variant: Variant) -> Repo:
    repo = session.get_one(Repo, variant.repo_id)
    if repo.deleted_at is not None:
        raise RepoNotFound(repo.full_name)
    if repo.mirrored_at is not None:
        raise MirrorReadOnly(repo.full_name)
    return repo


def _keep(session: Session, file: NewFile) -> tuple[Blob, bool]:
    """The blob of a file, and whether it is stored as the object that was made for it."""
    if not file.symmetric:
        is_needed = blobs.adopt_raw(session, file.sha256, file.nbytes, file.key)
        return _refreshed(session, file), is_needed
    blob = blobs.find_blob(session, file.sha256, keep=True)
    if blob is not None and blob.is_good:
        return blob, False
    if blob is None:
        blobs.add_encoded_blob(session, file.sha256, file.nbytes, file.key, file.stored, symmetric=True)
    else:
        blobs.heal_with_container(session, blob.id, file.key, file.stored, symmetric=True)
    kept = _refreshed(session, file)
    if file.tensors is not None and len(file.tensors) <= MAX_TENSORS:
        forget_tensors(session, kept.id)
        add_tensors(session, kept.id, file.tensors)
        set_tensor_count(session, kept.id, len(file.tensors))
    return kept, True


def _refreshed(session: Session, file: NewFile) -> Blob:
    blob = blobs.find_blob(session, file.sha256, keep=True)
    assert blob is not None
    session.refresh(blob)
    return blob
