"""URLs by which clients reach the bucket without credentials: one method, one key, some minutes."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from ..store import Presentation
from .connection import S3Connection
from .failures import translated
from .multipart import Multiparts


class S3Presigner:
    """Signs with the hub's credentials; asks the store nothing but the id of a multipart it does not know yet."""

    def __init__(self, connection: S3Connection, multiparts: Multiparts, lifetime_s: int) -> None:
        self._connection = connection
        self._multiparts = multiparts
        self._lifetime_s = lifetime_s

    def part(self, key: str, number: int, lifetime_s: int | None = None) -> str:
        """A PUT of one part of the multipart; raises ObjectNotFound."""
        parameters = {"UploadId": self._multiparts.id_of(key), "PartNumber": number + 1}
        return self._sign("upload_part", key, lifetime_s or self._lifetime_s, **parameters)

    def download(self, key: str, shown: Presentation) -> str:
        """A GET whose answer is an attachment of a type that no browser executes."""
        return self._sign(
            "get_object",
            key,
            self._lifetime_s,
            ResponseContentType=shown.content_type,
            ResponseContentDisposition=f"attachment; filename*=UTF-8''{quote(shown.file_name, safe='')}",
            ResponseCacheControl="private, no-store",
        )

    def _sign(self, operation: str, key: str, lifetime_s: int, **parameters: Any) -> str:
        with translated(key):
            url: str = self._connection.presigner.generate_presigned_url(
                operation, Params={**self._connection.at(key), **parameters}, ExpiresIn=lifetime_s
            )
        return url
