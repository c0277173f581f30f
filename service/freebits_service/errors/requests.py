"""A request that cannot be meant like that, or bytes that are not what was announced."""

from __future__ import annotations

from collections.abc import Sequence

from .base import ServiceError


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
