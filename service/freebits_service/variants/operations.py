"""Ask for variants, and list them.

A variant is an ordinary revision on a branch of its own, and never takes the place of a lossless one: a job moves a
branch only if its head was made by such a job, or if there is no branch of that name yet.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from .. import schemas, telemetry
from ..accounts.principal import Principal
from ..accounts.queries import record
from ..context import Hub
from ..errors import NotAVariantBranch, NotLossless
from ..jobs.operations import describe
from ..jobs.queries import Asked, FoundJob, begin_again, new_job
from ..models import Commit, Repo
from ..models.jobs import BACKGROUND, VARIANT
from ..repos import operations as repos
from ..request_ids import current_request_id
from ..trees.queries import find_file
from . import queries
from .methods import checked_parameters

REPORT = "freebits-report.json"  # at the root of every variant: how a revision says that it is one


def ask(hub: Hub, caller: Principal, namespace: str, name: str, body: schemas.NewVariant) -> tuple[schemas.Job, bool]:
    """The job that makes a variant, and whether there is something to do: not when it was made and still stands.

    Raises InvalidRequest, InvalidName, RevisionNotFound, RefExists, NotAVariantBranch, NotLossless, and what access
    raises.
    """

    def attempt(session: Session) -> tuple[schemas.Job, bool]:
        repo = repos.writable_repo(session, caller, namespace, name)
        parameters = checked_parameters(body.method, body.parameters)  # after access: a stranger learns nothing
        source = repos.resolve_revision(session, repo, body.revision or repo.default_branch)
        branch = body.to or body.method
        _require_lossless(session, repo, source)
        variant_head(session, repo, branch)
        found, is_new = _find_or_add(hub, session, caller, repo, source, branch, body.method, parameters)
        if is_new:
            facts: dict[str, Any] = {
                "method": body.method,
                "source": source.digest,
                "branch": branch,
                "job": found.job.id,
            }
            record(session, caller.name, "variant.create", repo.full_name, **facts)
        return describe(found, shows_repo=True), found.job.state != "done"

    return hub.db.run(attempt)


def list_variants(session: Session, repo: Repo, after: int | None, limit: int) -> list[schemas.Variant]:
    """The variants of a repo, newest first, with jobs below `after`."""
    return [_describe(found, is_head) for found, is_head in queries.list_variants(session, repo.id, after, limit)]


def variant_head(session: Session, repo: Repo, branch: str) -> Commit | None:
    """The head of a branch that a variant may become the next one of; None when there is no such branch.

    Raises NotAVariantBranch, RefExists for a tag, InvalidName.
    """
    head = repos.find_branch(session, repo, branch)
    if branch == repo.default_branch:
        raise NotAVariantBranch(repo.full_name, branch, "the default branch")
    if head is not None and not queries.is_made(session, head[1].id):
        raise NotAVariantBranch(repo.full_name, branch, f"at {head[1].digest}, which is no variant")
    return head[1] if head else None


def _require_lossless(session: Session, repo: Repo, source: Commit) -> None:
    if queries.is_made(session, source.id) or find_file(session, source.tree_id, REPORT) is not None:
        raise NotLossless(repo.full_name, source.digest, REPORT)


def _find_or_add(
    hub: Hub,
    session: Session,
    caller: Principal,
    repo: Repo,
    source: Commit,
    branch: str,
    method: str,
    parameters: Mapping[str, Any],
) -> tuple[FoundJob, bool]:
    """The job, and whether it was queued now."""
    key = _job_key(repo, source, branch, method, parameters)
    asked = Asked(repo.full_name, current_request_id() or None, telemetry.trace_parent(), priority=BACKGROUND)
    variant = {
        "repo_id": repo.id,
        "method": method,
        "parameters": dict(parameters),
        "source_id": source.id,
        "branch": branch,
        "author": caller.name,
        "nbytes": queries.total_nbytes(session, source),
    }
    is_new = queries.add_job(session, new_job(VARIANT, key, hub.settings.variant_queue, asked), variant)
    found = queries.find_job(session, key)
    assert found is not None, f"the job {key} was there and is not"
    assert found.variant is not None
    if not is_new and not (found.job.state == "done" and queries.is_head(session, found.variant)):
        is_new = begin_again(session, found.job.id)
        session.refresh(found.job)
    return found, is_new


def _job_key(repo: Repo, source: Commit, branch: str, method: str, parameters: Mapping[str, Any]) -> str:
    wanted = [repo.id, source.digest, branch, method, parameters]
    canonical = json.dumps(wanted, sort_keys=True, separators=(",", ":"))
    return f"variant:{hashlib.sha256(canonical.encode()).hexdigest()}"


def _describe(found: FoundJob, is_head: bool) -> schemas.Variant:
    job, variant = found.job, found.variant
    assert variant is not None
    assert found.source is not None
    return schemas.Variant.model_validate(
        {
            "branch": variant.branch,
            "method": variant.method,
            "parameters": variant.parameters,
            "source": found.source,
            "commit": found.made,
            "is_head": is_head,
            "author": variant.author,
            "job": job.id,
            "state": job.state,
            "before_nbytes": variant.before_nbytes,
            "after_nbytes": variant.after_nbytes,
            "created_at": job.created_at,
        }
    )
