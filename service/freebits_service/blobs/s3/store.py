"""The `BlobStore` over S3; see the package for how uploads map to multiparts and what crashes leave."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ...settings import MIB, Settings
from ..keys import BLOBS
from ..store import Limits, ObjectNotFound, Range, StagedObject, StoredObject
from .connection import S3Connection, connect
from .failures import translated, unavailable
from .multipart import Multiparts, S3PartWriter
from .presigner import S3Presigner
from .reader import TAIL_NBYTES, S3Reader

_NO_SUCH_RANGE = "InvalidRange"


class S3BlobStore:
    """A `BlobStore` in the bucket of the settings."""

    limits = Limits(least_part_nbytes=5 * MIB, most_parts=10_000, largest_nbytes=5 << 40)
    can_join = False
    is_exclusive = False  # other replicas, and clients by presigned URLs

    def __init__(self, settings: Settings) -> None:
        self._connection: S3Connection = connect(settings)
        self._multiparts = Multiparts(self._connection)
        self.presigner = S3Presigner(self._connection, self._multiparts, int(settings.presign_s))

    def begin(self, key: str) -> None:
        """Create the multipart."""
        self._multiparts.begin(key)

    def write_part(self, key: str, number: int, offset: int) -> S3PartWriter:
        """Gather a part; raises ObjectNotFound when the key is not in progress."""
        self._multiparts.id_of(key)
        return S3PartWriter(self._multiparts, key, number + 1)

    def staged_parts(self, key: str) -> dict[int, int]:
        """Sizes of the parts that the store has."""
        try:
            return {part["PartNumber"] - 1: part["Size"] for part in self._multiparts.parts(key)}
        except ObjectNotFound:
            self._multiparts.forget(key)
            raise

    def finish(self, key: str) -> None:
        """Complete the multipart; an object without parts is put as such. See `BlobStore.finish`."""
        try:
            if not self._multiparts.complete(key):
                with translated(key):
                    self._connection.client.put_object(**self._connection.at(key), Body=b"")
                self._multiparts.abort(key)
        except ObjectNotFound:
            self._multiparts.forget(key)
            self.stat(key)

    def join(self, key: str, ranges: Sequence[Range]) -> bool:
        """S3 copies, and no part may be short."""
        return False

    def reopen(self, key: str, new_key: str, part_nbytes: int, without: Collection[int] = ()) -> None:
        """Begin a multipart and copy the parts into it, inside the store."""
        nbytes = self.stat(key).nbytes
        self.begin(new_key)
        starts = [start for start in range(0, nbytes, part_nbytes) if start // part_nbytes not in without]
        self._multiparts.copy_parts(key, new_key, starts, nbytes, part_nbytes)

    def abort(self, key: str) -> None:
        """Abort the multipart."""
        self._multiparts.abort(key)

    def open(self, key: str) -> S3Reader:
        """Ask for the last bytes, and with them for the size; the others are fetched when they are read."""
        found = self._find_tail(key)
        nbytes, tail = (self.stat(key).nbytes, b"") if found is None else found
        return S3Reader(partial(self._get, key), key, nbytes, tail)

    def stat(self, key: str) -> StoredObject:
        """Size and age; some servers count the age of a multipart from its beginning."""
        with translated(key):
            head = self._connection.client.head_object(**self._connection.at(key))
        return StoredObject(key, head["ContentLength"], head["LastModified"])

    def delete(self, key: str) -> None:
        """Remove the object; S3 says nothing when there is none, some servers do."""
        with suppress(ObjectNotFound), translated(key):
            self._connection.client.delete_object(**self._connection.at(key))

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """A page of 1000 at a time."""
        connection = self._connection
        with translated(prefix):
            pages = connection.client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=connection.bucket, Prefix=connection.prefix + prefix):
                for found in page.get("Contents", ()):
                    yield StoredObject(self._key(found), found["Size"], found["LastModified"])

    def list_staged(self) -> Iterator[StagedObject]:
        """The multiparts; `modified_at` is when one was begun."""
        for found in self._multiparts.under(BLOBS):
            yield StagedObject(self._key(found), found["Initiated"])

    def free_nbytes(self) -> None:
        """A bucket does not say."""
        return None

    def check(self) -> None:
        """HEAD of the bucket, once; raises StoreUnavailable, also when there is no such bucket."""
        try:
            with translated(self._connection.bucket):
                self._connection.checker.head_bucket(Bucket=self._connection.bucket)
        except ObjectNotFound as error:
            raise unavailable(error) from error

    def _find_tail(self, key: str) -> tuple[int, bytes] | None:
        """Size and last bytes; None of an empty object, of which S3 has no ranges, and where the answer broke off."""
        try:
            with translated(key):
                found = self._connection.client.get_object(**self._connection.at(key), Range=f"bytes=-{TAIL_NBYTES}")
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != _NO_SUCH_RANGE:
                raise
            return None
        with closing(found["Body"]) as body:
            if found["ContentLength"] > TAIL_NBYTES:  # a server without such ranges sends everything
                return None
            try:
                tail = body.read()
            except BotoCoreError:
                return None
        total = int(found.get("ContentRange", f"/{len(tail)}").rpartition("/")[2])
        return (total, tail) if len(tail) == min(total, TAIL_NBYTES) else None

    def _get(self, key: str, start: int, stop: int) -> Any:
        found = self._connection.client.get_object(**self._connection.at(key), Range=f"bytes={start}-{stop - 1}")
        return found["Body"]

    def _key(self, found: dict[str, Any]) -> str:
        return str(found["Key"]).removeprefix(self._connection.prefix)
