"""Domain errors. Each has a stable code; what HTTP makes of it is decided in ``http_errors.py`` alone.

ServiceError
  Unauthenticated  Forbidden  RateLimited          who is asking, and how often
    MirrorReadOnly                                 the upstream's repos take no changes here
  LoginRefused  OidcNotConfigured                  logging in at an OIDC issuer
  RepoNotFound  RevisionNotFound  PathNotFound
  UploadNotFound  UserNotFound  TokenNotFound
  JobNotFound  OrgNotFound  NamespaceNotFound      what they ask for is not there (or not for them to see)
  RepoExists  RefExists  UserExists  HeadMoved
  DefaultBranchInUse  NamespaceInUse
  CollectionRunning                                somebody was there first
    ParentNotHead
  NotAVariantBranch  NotLossless                   variants stay apart from the revisions they are made of
  InvalidName  InvalidPath  InvalidRequest         the request cannot be meant like that
  NotOffered                                       this hub does not have what was asked for
  PartMismatch  DigestMismatch  SizeMismatch
  PartsMissing  BlobMissing  InvalidXet            the bytes are not what was announced, or not all there
  RangeNotSatisfiable
  TooLarge  QuotaExceeded  StorageFull             limits of the settings, of the namespace, of the disk
  BlobDamaged                                      the hub has lost or damaged the bytes
  ExpansionFailed                                  the bytes are here, in a form that cannot be expanded here
  Unavailable                                      something the hub stands on is away; try again later
    DatabaseUnavailable  StoreUnavailable
    UpstreamUnavailable
  UpstreamWrong                                    what the mirrored hub sends cannot be used
  DatabaseNotMigrated                              the tables are of another release
  ShuttingDown                                     this process ends; another one goes on
"""

from __future__ import annotations

from .base import ServiceError
from .callers import (
    Forbidden,
    LoginRefused,
    MirrorReadOnly,
    OidcNotConfigured,
    OidcUnavailable,
    RateLimited,
    Unauthenticated,
)
from .conflicts import (
    CollectionRunning,
    DefaultBranchInUse,
    HeadMoved,
    NamespaceInUse,
    NotAVariantBranch,
    NotLossless,
    ParentNotHead,
    RefExists,
    RepoExists,
    UserExists,
)
from .limits import (
    QuotaExceeded,
    StorageFull,
    TooLarge,
)
from .missing import (
    JobNotFound,
    NamespaceNotFound,
    OrgNotFound,
    PathNotFound,
    RepoNotFound,
    RevisionNotFound,
    TokenNotFound,
    UploadNotFound,
    UserNotFound,
)
from .outages import (
    BlobDamaged,
    DatabaseNotMigrated,
    DatabaseUnavailable,
    ExpansionFailed,
    ShuttingDown,
    StoreUnavailable,
    Unavailable,
    UpstreamUnavailable,
    UpstreamWrong,
)
from .requests import (
    BlobMissing,
    DigestMismatch,
    InvalidName,
    InvalidPath,
    InvalidRequest,
    InvalidXet,
    NotOffered,
    PartMismatch,
    PartsMissing,
    RangeNotSatisfiable,
    SizeMismatch,
)

__all__ = [
    "BlobDamaged",
    "BlobMissing",
    "CollectionRunning",
    "DatabaseNotMigrated",
    "DatabaseUnavailable",
    "DefaultBranchInUse",
    "DigestMismatch",
    "ExpansionFailed",
    "Forbidden",
    "HeadMoved",
    "InvalidName",
    "InvalidPath",
    "InvalidRequest",
    "InvalidXet",
    "JobNotFound",
    "LoginRefused",
    "MirrorReadOnly",
    "NamespaceInUse",
    "NamespaceNotFound",
    "NotAVariantBranch",
    "NotLossless",
    "NotOffered",
    "OidcNotConfigured",
    "OidcUnavailable",
    "OrgNotFound",
    "ParentNotHead",
    "PartMismatch",
    "PartsMissing",
    "PathNotFound",
    "QuotaExceeded",
    "RangeNotSatisfiable",
    "RateLimited",
    "RefExists",
    "RepoExists",
    "RepoNotFound",
    "RevisionNotFound",
    "ServiceError",
    "ShuttingDown",
    "SizeMismatch",
    "StorageFull",
    "StoreUnavailable",
    "TokenNotFound",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "UploadNotFound",
    "UpstreamUnavailable",
    "UpstreamWrong",
    "UserExists",
    "UserNotFound",
]
