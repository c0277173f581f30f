"""Make a commit: check everything, then one transaction.

What a crash right after each step leaves, and who cleans it up:

    step                                                    leaves                          cleaned by
    1  bytes in the store, digest checked (uploads)         unreferenced object             collector, after grace
    2  blob row ``raw`` or ``encoded`` (uploads)            row no repo points to           collector, after grace
    3  tree, commit, ref, job rows: ONE transaction (here)  a complete revision             nobody: it is committed
    4  container stored, decoded again, digest compared     both copies, raw one served     job is run again
    5  location swapped to the container, one transaction   raw copy not served any more    collector, after grace

Step 3 is the only commit point. Its last statement is the compare-and-set of the branch head; whatever fails
before it leaves nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from .. import schemas, telemetry
from ..accounts.principal import Principal
from ..accounts.queries import record
from ..clock import now
from ..context import Hub
from ..errors import BlobMissing, HeadMoved, InvalidRequest, SizeMismatch, TooLarge
from ..jobs.queries import Asked, add_encode_jobs
from ..models import Blob, Commit, Ref, Repo
from ..names import check_path, check_ref_name
from ..quotas.operations import charge
from ..repos import operations as repos
from ..repos import queries as repo_queries
from ..request_ids import current_request_id
from ..trees.operations import store_edited
from ..trees.pages import Changes, Leaf
from . import queries


def commit(hub: Hub, caller: Principal, namespace: str, name: str, body: schemas.NewCommit) -> schemas.Commit:
    """Apply the operations to the branch, if it is still at ``body.parent``.

    Raises HeadMoved, BlobMissing, SizeMismatch, InvalidPath, InvalidName, PathNotFound, TooLarge, QuotaExceeded,
    InvalidRequest, and what access raises.
    """
    limit = hub.settings.max_commit_operations
    if len(body.operations) > limit:
        raise TooLarge(f"{len(body.operations)} operations in one commit, at most {limit}; split it", limit=limit)

    def attempt(session: Session) -> schemas.Commit:
        return _commit(hub, session, caller, repos.writable_repo(session, caller, namespace, name), body)

    # Two commits at once may want the same new page, blob or branch: who comes second looks again.
    return hub.db.run(attempt)


def _commit(hub: Hub, session: Session, caller: Principal, repo: Repo, body: schemas.NewCommit) -> schemas.Commit:
    branch = check_ref_name(body.branch)
    head = repos.find_branch(session, repo, branch)
    parent = _require_head(branch, head, body.parent)
    blobs = _usable_blobs(session, caller, body.operations)
    changes = _changes(body.operations, blobs)
    tree = store_edited(session, repo.id, parent.tree_id if parent else None, changes)
    row = add_commit(session, repo, parent, tree, caller.name, body.message, body.description)
    held = sorted({blob.id: blob for blob in blobs.values()}.values(), key=lambda blob: blob.id)
    added = queries.hold_blobs(session, repo.id, [blob.id for blob in held])
    worth = [blob for blob in held if is_worth_encoding(hub, blob)]
    add_encode_jobs(session, worth, hub.settings.encode_queue, _asked(repo, body))
    charge(session, hub.settings, repo, added)
    record(session, caller.name, "commit", repo.full_name, branch=branch, commit=row.digest)
    set_head(session, repo, branch, parent, row)
    return describe(row, parent.digest if parent else None)


def describe(row: Commit, parent: str | None) -> schemas.Commit:
    """The commit as the API shows it."""
    return schemas.Commit(
        id=row.digest,
        parent=parent,
        author=row.author,
        message=row.message,
        description=row.description,
        created_at=row.created_at,
    )


def _require_head(branch: str, head: tuple[Ref, Commit] | None, expected: str | None) -> Commit | None:
    current = head[1] if head else None
    if (current.digest if current else None) != expected:
        raise HeadMoved(branch, current.digest if current else None, expected)
    return current


def set_head(session: Session, repo: Repo, branch: str, expected: Commit | None, row: Commit) -> None:
    """Compare and set: make the branch, or move it if it is still at `expected`; raises HeadMoved."""
    if expected is None:
        repo_queries.add_ref(session, repo.id, "branch", branch, row.id)
    elif not repo_queries.move_ref(session, repo.id, branch, expected_id=expected.id, commit_id=row.id):
        # Another commit moved it after we read it, and has ended: this reads where it is now.
        head = repos.find_branch(session, repo, branch)
        raise HeadMoved(branch, head[1].digest if head else None, expected.digest)


def _asked(repo: Repo, body: schemas.NewCommit) -> Asked:
    paths = {op.sha256: op.path for op in body.operations if op.op == "add"}
    return Asked(repo.full_name, current_request_id() or None, telemetry.trace_parent(), paths)


def _usable_blobs(session: Session, caller: Principal, operations: Sequence[schemas.Operation]) -> dict[str, Blob]:
    wanted = {op.sha256: op.nbytes for op in operations if op.op == "add"}
    blobs = queries.find_blobs(session, list(wanted))
    usable = queries.usable_blob_ids(session, [blob.id for blob in blobs.values()], caller)
    missing = [digest for digest in wanted if digest not in blobs or blobs[digest].id not in usable]
    if missing:
        raise BlobMissing(sorted(missing))
    return blobs


def _changes(operations: Sequence[schemas.Operation], blobs: dict[str, Blob]) -> Changes:
    changes: dict[str, Leaf | None] = {}
    for op in operations:
        if check_path(op.path) in changes:
            raise InvalidRequest(f"the commit names {op.path!r} twice", path=op.path)
        changes[op.path] = _leaf(op, blobs[op.sha256]) if op.op == "add" else None
    return changes


def _leaf(op: schemas.AddFile, blob: Blob) -> Leaf:
    if op.nbytes != blob.nbytes:
        raise SizeMismatch(
            f"{op.path!r} is said to have {op.nbytes} bytes, its content has {blob.nbytes}",
            path=op.path,
            nbytes=blob.nbytes,
        )
    return Leaf(op.path, blob.id, blob.sha256, blob.nbytes)


def is_worth_encoding(hub: Hub, blob: Blob) -> bool:
    """Whether a blob that a repo begins to hold is to be encoded."""
    return blob.state == "raw" and blob.nbytes >= hub.settings.encode_min_nbytes


def add_commit(
    session: Session,
    repo: Repo,
    parent: Commit | None,
    tree: tuple[int, str],
    author: str,
    message: str,
    description: str,
) -> Commit:
    """Store a commit of a tree (its row id and digest) on top of `parent`."""
    created_at = now()
    digest = commit_id(
        tree=tree[1],
        parent=parent.digest if parent else None,
        author=author,
        message=message,
        description=description,
        created_at=created_at,
    )
    row = Commit(
        repo_id=repo.id,
        digest=digest,
        parent_id=parent.id if parent else None,
        tree_id=tree[0],
        author=author,
        message=message,
        description=description,
        created_at=created_at,
    )
    return queries.add_commit(session, row)


def commit_id(
    *,
    tree: str,
    parent: str | None,
    author: str,
    message: str,
    description: str,
    created_at: datetime,
) -> str:
    """40 hex digits of the SHA-256 of the commit's canonical JSON."""
    canonical = json.dumps(
        {
            "tree": tree,
            "parent": parent,
            "author": author,
            "message": message,
            "description": description,
            "created_at": created_at.isoformat(),
        },
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=True,
    )
    return hashlib.sha256(canonical.encode()).hexdigest()[:40]
