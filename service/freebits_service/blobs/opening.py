"""Open the store that the settings name."""

from __future__ import annotations

from ..settings import Settings
from .local import LocalBlobStore
from .store import BlobStore


def open_store(settings: Settings) -> BlobStore:
    """The bucket of the settings, or else the folder; raises StorageFull when the disk is full."""
    if settings.s3_bucket:
        from .s3 import S3BlobStore  # noqa: PLC0415  60 MiB and half a second that a local folder does not need

        return S3BlobStore(settings)
    return LocalBlobStore(settings.objects)
