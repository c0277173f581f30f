"""Domain errors. Each has a stable code; what HTTP makes of it is decided in ``http_errors.py`` alone.

ServiceError
  Unauthenticated  Forbidden  RateLimited          who is asking, and how often
  LoginRefused  OidcNotConfigured                  logging in at an OIDC issuer
  RepoNotFound  RevisionNotFound  PathNotFound
  UploadNotFound  UserNotFound  TokenNotFound
  JobNotFound  OrgNotFound  NamespaceNotFound      what they ask for is not there (or not for them to see)
  RepoExists  RefExists  UserExists  HeadMoved
  DefaultBranchInUse  NamespaceInUse
  CollectionRunning                                somebody was there first
    ParentNotHead
  InvalidName  InvalidPath  InvalidRequest         the request cannot be meant like that
  NotOffered                                       this hub does not have what was asked for
  PartMismatch  DigestMismatch  SizeMismatch
  PartsMissing  BlobMissing  InvalidXet            the bytes are not what was announced, or not all there
  RangeNotSatisfiable
  TooLarge  QuotaExceeded  StorageFull             limits of the settings, of the namespace, of the disk
  BlobDamaged                                      the hub has lost or damaged the bytes
  Unavailable                                      something the hub stands on is away; try again later
    DatabaseUnavailable  StoreUnavailable
  DatabaseNotMigrated                              the tables are of another release
  ShuttingDown                                     this process ends; another one goes on
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class ServiceError(Exception):
    """Something a caller can act on: a stable `code`, a sentence, and the facts behind it in `detail`."""

    code: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, **detail: Any) -> None:
        self.message = message
        self.detail: Mapping[str, Any] = detail
        super().__init__(message)


class Unauthenticated(ServiceError):
    """No token, or one nobody issued."""

    code = "UNAUTHENTICATED"


class Forbidden(ServiceError):
    """The caller is known and may not do this."""

    code = "FORBIDDEN"


class RateLimited(ServiceError):
    """Too many requests; `detail["retry_after_s"]` says when the next one is answered."""

    code = "RATE_LIMITED"

    def __init__(self, policy: str, limit: int, retry_after_s: int) -> None:
        super().__init__(
            f"too many requests (limit {policy!r}: {limit} per minute); try again in {retry_after_s} s",
            policy=policy,
            limit=limit,
            retry_after_s=retry_after_s,
        )


class LoginRefused(ServiceError):
    """The issuer knows the person; the hub does not let them in."""

    code = "LOGIN_REFUSED"


class OidcNotConfigured(ServiceError):
    """The hub knows no OIDC issuer."""

    code = "OIDC_NOT_CONFIGURED"


class OidcUnavailable(ServiceError):
    """The OIDC issuer cannot be reached, or does not answer as the standard says."""

    code = "OIDC_UNAVAILABLE"


class RepoNotFound(ServiceError):
    """No such repo, or one the caller may not know of."""

    code = "REPO_NOT_FOUND"

    def __init__(self, repo: str) -> None:
        super().__init__(f"no repo {repo!r} that you can see; check the name, or log in if it is private", repo=repo)


class RevisionNotFound(ServiceError):
    """Neither a branch, nor a tag, nor a commit of this repo."""

    code = "REVISION_NOT_FOUND"

    def __init__(self, repo: str, revision: str) -> None:
        super().__init__(
            f"{repo} has no branch, tag or commit {revision!r}; list them with GET /api/v1/repos/{repo}/refs",
            repo=repo,
            revision=revision,
        )


class PathNotFound(ServiceError):
    """The revision has no such file."""

    code = "PATH_NOT_FOUND"

    def __init__(self, path: str, revision: str, commit: str | None = None) -> None:
        known = {} if commit is None else {"commit": commit}
        super().__init__(f"no file {path!r} in revision {revision!r}", path=path, revision=revision, **known)


class UploadNotFound(ServiceError):
    """No such upload of this caller in this repo; it may have expired."""

    code = "UPLOAD_NOT_FOUND"

    def __init__(self, upload_id: str) -> None:
        super().__init__(f"no upload {upload_id!r}; it may have expired, begin a new one", upload=upload_id)


class UserNotFound(ServiceError):
    """No such user."""

    code = "USER_NOT_FOUND"


class OrgNotFound(ServiceError):
    """No such organization, or one the caller is not a member of."""

    code = "ORG_NOT_FOUND"


class NamespaceNotFound(ServiceError):
    """No such namespace, or not one the caller may look into."""

    code = "NAMESPACE_NOT_FOUND"


class TokenNotFound(ServiceError):
    """No such token of that user."""

    code = "TOKEN_NOT_FOUND"


class JobNotFound(ServiceError):
    """No such job."""

    code = "JOB_NOT_FOUND"


class UserExists(ServiceError):
    """The user name is taken."""

    code = "USER_EXISTS"


class NamespaceInUse(ServiceError):
    """A user or organization whose namespace has repos cannot be removed."""

    code = "NAMESPACE_IN_USE"


class RepoExists(ServiceError):
    """The repo name is taken; `detail["repo"]` is the one that has it."""

    code = "REPO_EXISTS"


class RefExists(ServiceError):
    """The branch or tag name is taken."""

    code = "REF_EXISTS"


class DefaultBranchInUse(ServiceError):
    """The default branch of a repo cannot be deleted."""

    code = "DEFAULT_BRANCH"


class CollectionRunning(ServiceError):
    """Somebody else collects; only one may at a time."""

    code = "COLLECTION_RUNNING"


class HeadMoved(ServiceError):
    """The compare-and-set of a branch lost; `detail["head"]` is where the branch is now."""

    code = "HEAD_MOVED"

    def __init__(self, branch: str, head: str | None, parent: str | None) -> None:
        super().__init__(
            f"branch {branch!r} is at {head or 'no commit'}, the commit was made on {parent or 'no commit'}; "
            "look at what is there now and commit on top of it",
            branch=branch,
            head=head,
            parent=parent,
        )


class ParentNotHead(HeadMoved):
    """The same, of a commit that a Hugging Face client made: those expect 412."""

    code = "PARENT_NOT_HEAD"


class InvalidName(ServiceError):
    """A repo, user, branch or tag name that cannot be."""

    code = "INVALID_NAME"


class InvalidPath(ServiceError):
    """A file path that cannot be in a repo."""

    code = "INVALID_PATH"


class InvalidXet(ServiceError):
    """A xorb or shard that does not hold what its client says, or refers to what the client has not sent."""

    code = "INVALID_XET"


class InvalidRequest(ServiceError):
    """Well-formed, and still not something that can be done."""

    code = "INVALID_REQUEST"


class PartMismatch(ServiceError):
    """A part has another length or digest than announced; nothing of it was kept."""

    code = "PART_MISMATCH"


class DigestMismatch(ServiceError):
    """The bytes are all there and are not the ones announced."""

    code = "DIGEST_MISMATCH"


class SizeMismatch(ServiceError):
    """A size in the request differs from the size of the blob."""

    code = "SIZE_MISMATCH"


class PartsMissing(ServiceError):
    """An upload was completed before its parts were there; `detail["missing"]` lists them."""

    code = "PARTS_MISSING"

    def __init__(self, missing: Sequence[int]) -> None:
        super().__init__(f"{len(missing)} parts are missing; send them, then complete again", missing=list(missing))


class BlobMissing(ServiceError):
    """A commit names content the caller has neither uploaded nor may read; `detail["sha256"]` lists it."""

    code = "BLOB_MISSING"

    def __init__(self, digests: Sequence[str]) -> None:
        super().__init__(
            f"{len(digests)} files of the commit have not been uploaded by you; upload them, then commit again",
            sha256=list(digests),
        )


class RangeNotSatisfiable(ServiceError):
    """The requested range lies beyond the end; `detail["nbytes"]` is the length there is."""

    code = "RANGE_NOT_SATISFIABLE"

    def __init__(self, nbytes: int) -> None:
        super().__init__(f"the range lies outside the {nbytes} bytes of the file", nbytes=nbytes)


class NotOffered(ServiceError):
    """A feature of the Hugging Face Hub that this hub does not have; `detail["feature"]` names it."""

    code = "NOT_OFFERED"

    def __init__(self, feature: str) -> None:
        super().__init__(f"this hub does not offer {feature}", feature=feature)


class TooLarge(ServiceError):
    """Beyond a limit of the settings; nothing was kept."""

    code = "TOO_LARGE"


class QuotaExceeded(ServiceError):
    """The namespace may not hold that much; nothing was kept. `detail` has `used`, `limit` and `wanted` in bytes."""

    code = "QUOTA_EXCEEDED"

    def __init__(self, namespace: str, kind: str, *, used: int, limit: int, wanted: int) -> None:
        super().__init__(
            f"{namespace!r} uses {used} of {limit} {kind} bytes and {wanted} more are wanted; "
            "delete repos that are no longer needed, or ask an admin for a larger quota",
            namespace=namespace,
            kind=kind,
            used=used,
            limit=limit,
            wanted=wanted,
        )


class StorageFull(ServiceError):
    """The disk is full; nothing was half-committed."""

    code = "STORAGE_FULL"

    def __init__(self, message: str = "no space left on the hub's storage; free some, then retry") -> None:
        super().__init__(message)


class Unavailable(ServiceError):
    """Something the hub stands on is away for now; the same request may work later. Workers wait for it."""


class DatabaseUnavailable(Unavailable):
    """The database does not answer, or not in time. Nothing is half-committed."""

    code = "DATABASE_UNAVAILABLE"


class StoreUnavailable(Unavailable):
    """The object store does not answer, or refuses the hub; the hub's log says why. Nothing is half-committed."""

    code = "STORE_UNAVAILABLE"

    def __init__(self, message: str = "the hub's object store does not answer; try again in a while") -> None:
        super().__init__(message)


class DatabaseNotMigrated(ServiceError):
    """The database is at another revision than this release works on."""

    code = "DATABASE_NOT_MIGRATED"

    def __init__(self, found: str | None, expected: str) -> None:
        at = f"at revision {found}" if found else "empty"
        newer = found is not None and found > expected
        todo = "run a release that knows that revision" if newer else "run `freebits migrate` with the same settings"
        super().__init__(
            f"the database is {at}, this release works on revision {expected}; {todo}", found=found, expected=expected
        )


class BlobDamaged(ServiceError):
    """The stored bytes of a file are missing or not what they were; nothing is served rather than wrong bytes."""

    code = "BLOB_DAMAGED"

    def __init__(self, sha256: str) -> None:
        super().__init__(
            f"the hub's copy of this file (SHA-256 {sha256}) is damaged and is not served; push the same "
            "file again, or have the hub's administrator restore it and run `freebits fsck`",
            sha256=sha256,
        )


class ShuttingDown(ServiceError):
    """The hub process is being stopped and cut the request; nothing of it counts."""

    code = "SHUTTING_DOWN"

    def __init__(self) -> None:
        super().__init__("this hub process is being stopped; send the request again")
