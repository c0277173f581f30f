"""The clients, as the settings want them, and the bucket they work in.

Credentials come from where every user of boto3 expects them: environment, shared files and profiles, web identity,
instance role. The hub has no secret settings of its own for them.

Parts carry `Content-MD5`, which every server compares. The checksums that newer SDKs send by themselves are off: older
servers refuse them, and AWS wants all parts of a multipart to carry the same kind, which those that clients send by a
presigned URL could not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

from ...settings import Settings

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 60
ATTEMPTS = 4
CHECK_TIMEOUT_S = 3
CONNECTIONS = 64  # kept for reuse; more are opened when needed


@dataclass(frozen=True, slots=True)
class S3Connection:
    """A bucket and three clients for it: for work, for a sign of life (quick to give up), for presigned URLs."""

    client: Any
    checker: Any
    presigner: Any
    bucket: str
    prefix: str

    def at(self, key: str) -> dict[str, str]:
        """The parameters that name an object."""
        return {"Bucket": self.bucket, "Key": self.prefix + key}


def connect(settings: Settings) -> S3Connection:
    """The clients for the bucket of the settings; sends nothing."""
    session = boto3.Session(region_name=settings.s3_region or None)

    def client(endpoint: str, **changes: Any) -> Any:
        return session.client("s3", endpoint_url=endpoint or None, config=_config(settings, **changes))

    prefix = settings.s3_prefix.strip("/")
    return S3Connection(
        client=client(settings.s3_endpoint),
        checker=client(
            settings.s3_endpoint,
            connect_timeout=CHECK_TIMEOUT_S,
            read_timeout=CHECK_TIMEOUT_S,
            retries={"mode": "standard", "total_max_attempts": 1},
        ),
        presigner=client(settings.s3_public_endpoint or settings.s3_endpoint),
        bucket=settings.s3_bucket,
        prefix=f"{prefix}/" if prefix else "",
    )


def _config(settings: Settings, **changes: Any) -> Config:
    chosen: dict[str, Any] = {
        "signature_version": "s3v4",
        "connect_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": READ_TIMEOUT_S,
        "retries": {"mode": "standard", "total_max_attempts": ATTEMPTS},
        "max_pool_connections": CONNECTIONS,
        "tcp_keepalive": True,
        "s3": {"addressing_style": settings.s3_addressing},
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": settings.s3_checksums,
    }
    return Config(**{**chosen, **changes})
