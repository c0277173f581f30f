"""Where objects lie. The only functions that build keys.

    blobs/raw/<aa>/<sha256>.<origin>             the original bytes
    blobs/container/<aa>/<stored sha256>.<origin>   the container, named by the digest of its own bytes
    staging/<handle>                             an upload or an encoding in progress (the store's own business)

``<aa>`` are the first two hex digits, so that no folder holds everything. ``<origin>`` is the upload
(``u-<id>``) or the attempt of a job (``j-<id>-<attempt>``) that wrote the object. It makes every key belong
to one writer: a key is never written again once the collector has decided to delete it, so deletion can never
hit a newer object with the same content; and an object without a row shows whose it was.
"""

from __future__ import annotations

import re

BLOBS = "blobs/"
_KEY = re.compile(r"blobs/(raw|container)/[0-9a-f]{2}/[0-9a-f]{64}\.([uj]-[0-9a-z-]+)")


def raw_key(sha256: str, origin: str) -> str:
    """Key of the original bytes of a blob."""
    return f"{BLOBS}raw/{sha256[:2]}/{sha256}.{origin}"


def container_key(stored_sha256: str, origin: str) -> str:
    """Key of a container whose own bytes have this digest."""
    return f"{BLOBS}container/{stored_sha256[:2]}/{stored_sha256}.{origin}"


def upload_origin(upload_id: str) -> str:
    """Origin of what an upload writes."""
    return f"u-{upload_id}"


def job_origin(job_id: int, attempt: int) -> str:
    """Origin of what one attempt of a job writes."""
    return f"j-{job_id}-{attempt}"


def origin_of(key: str) -> str | None:
    """The origin in a key; None for a key that was not made here."""
    match = _KEY.fullmatch(key)
    return match.group(2) if match else None


def upload_of(origin: str) -> str | None:
    """The upload id in an origin, if an upload wrote the object."""
    return origin[2:] if origin.startswith("u-") else None


def job_of(origin: str) -> int | None:
    """The job id in an origin, if a job wrote the object."""
    kind, _, rest = origin.partition("-")
    number = rest.partition("-")[0]
    return int(number) if kind == "j" and number.isdigit() else None
