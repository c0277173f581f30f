"""Something that the hub stands on is away, or was lost."""

from __future__ import annotations

from .base import ServiceError


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


class UpstreamUnavailable(Unavailable):
    """The hub that this one mirrors does not answer, and what was asked for was not fetched before."""

    code = "UPSTREAM_UNAVAILABLE"


class UpstreamWrong(ServiceError):
    """What the hub that this one mirrors says or sends cannot be used; the message says why."""

    code = "UPSTREAM_WRONG"


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


class ExpansionFailed(ServiceError):
    """A file cannot be made of its symmetric form by this process; what is stored of it is whole."""

    code = "EXPANSION_FAILED"

    def __init__(self, sha256: str, why: str) -> None:
        super().__init__(
            f"this hub process cannot make the file (SHA-256 {sha256}) of its symmetric form: {why}", sha256=sha256
        )


class ShuttingDown(ServiceError):
    """The hub process is being stopped and cut the request; nothing of it counts."""

    code = "SHUTTING_DOWN"

    def __init__(self) -> None:
        super().__init__("this hub process is being stopped; send the request again")
