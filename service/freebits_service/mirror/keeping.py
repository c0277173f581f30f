"""A mirrored repo holds content from now on: as after a commit, its namespace pays, and workers encode it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from ..commits.operations import is_worth_encoding
from ..commits.queries import hold_blobs
from ..context import Hub
from ..jobs.queries import Asked, add_encode_jobs
from ..models import Blob, Repo
from ..models.jobs import BACKGROUND
from ..quotas.operations import charge
from ..request_ids import current_request_id
from . import queries


def hold(hub: Hub, session: Session, repo: Repo, files: Sequence[tuple[Blob, str]]) -> None:
    """The repo holds these blobs (each with a path of it, sorted by row); raises QuotaExceeded."""
    blobs = [blob for blob, _ in files]
    added = hold_blobs(session, repo.id, [blob.id for blob in blobs])
    queries.forget_awaited(session, repo.id, [blob.id for blob in blobs])
    asked = Asked(
        repo.full_name,
        current_request_id() or None,
        paths={blob.sha256: path for blob, path in files},
        priority=BACKGROUND,
    )
    worth = [blob for blob in blobs if is_worth_encoding(hub, blob)]
    add_encode_jobs(session, worth, hub.settings.encode_queue, asked)
    charge(session, hub.settings, repo, added)
