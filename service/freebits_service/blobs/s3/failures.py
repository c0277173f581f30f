"""What boto3 raises, in the words of the hub."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from ...errors import ServiceError, StorageFull, StoreUnavailable
from ..store import ObjectNotFound

_ABSENT = frozenset({"404", "NoSuchKey", "NoSuchUpload", "NotFound"})
_FULL = frozenset({"InsufficientStorage", "QuotaExceeded", "StorageFull", "XMinioStorageFull"})
# Nothing is wrong with the request: the store, the bucket or the hub's credentials are.
_REFUSED = frozenset(
    {
        "AccessDenied",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "NoSuchBucket",
        "OperationAborted",
        "PermanentRedirect",
        "RequestTimeTooSkewed",
        "RequestTimeout",
        "SignatureDoesNotMatch",
        "SlowDown",
        "Throttling",
        "TooManyRequests",
    }
)
log = structlog.get_logger()


@contextmanager
def translated(key: str) -> Iterator[None]:
    """Raises ObjectNotFound, StorageFull and StoreUnavailable for what boto3 raises; bugs stay what they are."""
    try:
        yield
    except ClientError as error:
        meaning = _meaning(error, key)
        if meaning is None:
            raise
        raise meaning from error
    except BotoCoreError as error:
        raise unavailable(error) from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull("no room for temporary files on the hub's machine; free some, then retry") from error
        raise


def unavailable(error: Exception) -> StoreUnavailable:
    """The error for callers; the log has the cause, which may name internal addresses."""
    log.warning("the object store failed", error=str(error)[:500])
    return StoreUnavailable()


def _meaning(error: ClientError, key: str) -> ObjectNotFound | ServiceError | None:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _ABSENT:
        return ObjectNotFound(key)
    if code in _FULL or status == 507:
        return StorageFull()
    if code in _REFUSED or status in {401, 403, 408, 429} or status >= 500:
        return unavailable(error)
    return None
