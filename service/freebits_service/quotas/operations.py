"""Quotas per namespace.

The rule: **a repo holds every content once, however many files and revisions have it, and its namespace pays for
every repo.** Logical bytes are those of the original files, stored bytes those of the object that is served (the
raw copy that is kept for a while after encoding is the hub's affair). Content that several repos hold is stored
once and counted for each: so what somebody pays never depends on what others hold or delete, and tells nobody
whether others have the same content.

Usage is a pair of numbers in the row of the namespace, changed in the transactions that make repos hold blobs,
delete repos, and swap blobs to containers. The row is locked for the last moments of such a transaction only, and
only commits to the same namespace wait for each other there. `recount` counts anew what is really held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from .. import schemas
from ..accounts.principal import Principal
from ..accounts.queries import ensure_namespace, find_namespace, record
from ..context import Hub
from ..errors import NamespaceNotFound, QuotaExceeded
from ..models import Namespace, Repo
from ..settings import Settings
from . import queries

UNLIMITED = -1
RECOUNT_BATCH = 500


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes a namespace may hold; None is no limit."""

    logical: int | None
    stored: int | None

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        return self.logical is not None or self.stored is not None


def limits_of(settings: Settings, namespace: Namespace | None) -> Limits:
    """A namespace's own limits, else those of the settings; these are not for what nobody here can write to."""
    if namespace is not None and namespace.kind == "mirror":
        return Limits(_limit(namespace.quota_logical_nbytes, 0), _limit(namespace.quota_stored_nbytes, 0))
    return Limits(
        _limit(namespace.quota_logical_nbytes if namespace else None, settings.quota_logical_nbytes),
        _limit(namespace.quota_stored_nbytes if namespace else None, settings.quota_stored_nbytes),
    )


def _limit(own: int | None, default: int) -> int | None:
    if own is None:
        return default or None
    return None if own == UNLIMITED else own


def check_announced(session: Session, settings: Settings, repo: Repo, body: schemas.NewUpload) -> None:
    """Raises QuotaExceeded for an upload that could not be committed beside those already begun."""
    namespace = find_namespace(session, repo.namespace)
    limits = limits_of(settings, namespace)
    if not limits.any or queries.holds(session, repo.id, body.sha256):
        return
    used = (namespace.logical_nbytes, namespace.stored_nbytes) if namespace else (0, 0)
    begun = queries.pending_uploads(session, repo.namespace, (repo.id, body.sha256))
    used = (used[0] + begun[0], used[1] + begun[1])
    _require_within(repo.namespace, limits, used, (body.nbytes, body.stored_nbytes))


def charge(session: Session, settings: Settings, repo: Repo, blob_ids: Sequence[int]) -> None:
    """The repo holds these blobs from now on, which it did not before; raises QuotaExceeded."""
    if blob_ids:
        _charge(session, settings, repo.namespace, queries.sizes_of(session, blob_ids))


def charge_again(session: Session, settings: Settings, repo: Repo) -> None:
    """The repo was deleted and is brought back with all that it holds; raises QuotaExceeded."""
    _charge(session, settings, repo.namespace, queries.held_by_repo(session, repo.id))


def _charge(session: Session, settings: Settings, name: str, added: queries.Sizes) -> None:
    total = queries.add_usage(session, name, added)
    if total is None:  # made by a release that knew no namespaces
        ensure_namespace(session, name, "open")
        total = queries.add_usage(session, name, added)
    assert total is not None
    used = (total[0] - added[0], total[1] - added[1])
    _require_within(name, limits_of(settings, find_namespace(session, name)), used, added)


def release(session: Session, repo: Repo) -> None:
    """The repo is about to be deleted: its namespace pays no more, though it may be brought back for a while."""
    queries.lock_repo(session, repo.id)
    logical, stored = queries.held_by_repo(session, repo.id)
    queries.add_usage(session, repo.namespace, (-logical, -stored))


def _require_within(name: str, limits: Limits, used: queries.Sizes, wanted: queries.Sizes) -> None:
    for kind, limit, have, more in zip(
        ("logical", "stored"), (limits.logical, limits.stored), used, wanted, strict=True
    ):
        if limit is not None and more > 0 and have + more > limit:
            raise QuotaExceeded(name, kind, used=have, limit=limit, wanted=more)


def describe(settings: Settings, namespace: Namespace) -> schemas.Usage:
    """A namespace's usage and limits as the API shows them."""
    limits = limits_of(settings, namespace)
    return schemas.Usage.model_validate(
        {
            "namespace": namespace.name,
            "kind": namespace.kind,
            "logical_nbytes": namespace.logical_nbytes,
            "stored_nbytes": namespace.stored_nbytes,
            "logical_limit_nbytes": limits.logical,
            "stored_limit_nbytes": limits.stored,
        }
    )


def set_limits(session: Session, caller: Principal, name: str, body: schemas.QuotaChange) -> Namespace:
    """Change what a namespace may hold; raises NamespaceNotFound."""
    namespace = queries.lock_namespace(session, name)
    if namespace is None:
        raise NamespaceNotFound(f"no namespace {name[:96]!r}", namespace=name[:96])
    if body.logical_nbytes is not None:
        namespace.quota_logical_nbytes = _stored_limit(body.logical_nbytes)
    if body.stored_nbytes is not None:
        namespace.quota_stored_nbytes = _stored_limit(body.stored_nbytes)
    record(session, caller.name, "quota.change", namespace=name, **body.model_dump(exclude_none=True))
    return namespace


def _stored_limit(limit: int | str) -> int | None:
    if isinstance(limit, int):
        return limit
    return None if limit == "default" else UNLIMITED


def recount(hub: Hub, caller: Principal, name: str | None) -> schemas.Recounted:
    """Count what is really held, of one namespace or of all, one short transaction each; raises NamespaceNotFound."""
    counted, corrected, after = 0, list[str](), ""
    names = [name] if name is not None else _names_after(hub, after)
    while names:
        for each in names:
            counted += 1
            if _recount(hub, caller, each):
                corrected.append(each)
        names = [] if name is not None else _names_after(hub, names[-1])
    return schemas.Recounted(counted=counted, corrected=corrected)


def _names_after(hub: Hub, after: str) -> Sequence[str]:
    with hub.db.snapshot() as session:
        return queries.namespace_names(session, after, RECOUNT_BATCH)


def _recount(hub: Hub, caller: Principal, name: str) -> bool:
    def count(session: Session) -> bool:
        namespace = queries.lock_namespace(session, name)
        if namespace is None:
            raise NamespaceNotFound(f"no namespace {name[:96]!r}", namespace=name[:96])
        noted = (namespace.logical_nbytes, namespace.stored_nbytes)
        held = queries.count_held(session, name)
        record(session, caller.name, "quota.recount", namespace=name, noted=list(noted), held=list(held))
        if noted == held:
            return False
        queries.set_usage(session, name, held)
        return True

    return hub.db.run(count)
