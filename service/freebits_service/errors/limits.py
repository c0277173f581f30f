"""Beyond what the settings, a namespace or the disk allow."""

from __future__ import annotations

from .base import ServiceError


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
