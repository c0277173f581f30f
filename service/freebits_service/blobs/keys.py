"""Where objects lie. The only functions that build keys.

    blobs/raw/<aa>/<sha256>.<origin>         the original bytes
    blobs/container/<aa>/<sha256>.<origin>   the container that decodes to them
    blobs/xorb/<aa>/<hash>.<origin>          chunks on their way in, named by a Xet client

``<sha256>`` is of the original bytes, ``<aa>`` are its first two hex digits, so that no folder holds everything.
``<origin>`` is the upload (``u-<id>-<once>``) or the attempt of a job (``j-<id>-<attempt>-<once>``) that wrote the
object, or a Xet client (``x-<once>``), or says that it came from the upstream (``m-<once>``); ``<once>`` is random. It
makes every key belong to one writer: no key is ever written twice, so deletion can never hit a newer object with the
same content, a worker that was believed dead never writes over its successor, and an object without a row shows whose
it was.
"""

from __future__ import annotations

import re
import secrets

BLOBS = "blobs/"
FOLDERS = tuple(f"{BLOBS}{form}/{number:02x}/" for form in ("raw", "container", "xorb") for number in range(256))
_KEY = re.compile(r"blobs/(raw|container|xorb)/[0-9a-f]{2}/[0-9a-f]{64}\.([ujxm]-[0-9a-z-]+)")


def new_raw_key(sha256: str, origin: str) -> str:
    """A key for the original bytes of a blob; another one at each call."""
    return _new_key("raw", sha256, origin)


def new_container_key(sha256: str, origin: str) -> str:
    """A key for a container that decodes to the bytes with this digest; another one at each call."""
    return _new_key("container", sha256, origin)


def new_xorb_key(xorb_hash: str) -> str:
    """A key for the chunks of a Xet client; another one at each call."""
    return _new_key("xorb", xorb_hash, "x")


def _new_key(kind: str, sha256: str, origin: str) -> str:
    return f"{BLOBS}{kind}/{sha256[:2]}/{sha256}.{origin}-{secrets.token_hex(4)}"


def upload_origin(upload_id: str) -> str:
    """Origin of what an upload writes."""
    return f"u-{upload_id}"


def job_origin(job_id: int, attempt: int) -> str:
    """Origin of what one attempt of a job writes."""
    return f"j-{job_id}-{attempt}"


UPSTREAM_ORIGIN = "m"  # of what was fetched from the upstream


def origin_of(key: str) -> str | None:
    """The origin in a key; None for a key that was not made here."""
    match = _KEY.fullmatch(key)
    return match.group(2) if match else None


def upload_of(origin: str) -> str | None:
    """The upload id in an origin, if an upload wrote the object."""
    kind, _, rest = origin.partition("-")
    return rest.partition("-")[0] if kind == "u" else None


def job_of(origin: str) -> int | None:
    """The job id in an origin, if a job wrote the object."""
    kind, _, rest = origin.partition("-")
    number = rest.partition("-")[0]
    return int(number) if kind == "j" and number.isdigit() else None
