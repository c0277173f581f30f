"""One multipart upload per key: find it, add parts, complete it, abort it."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

from ...settings import MIB
from ..store import Buffer, ObjectNotFound
from .connection import S3Connection
from .failures import translated

SPOOL_NBYTES = MIB  # of a part are kept in memory until it is sent; the rest waits in a temporary file
REMEMBERED = 10_000
COPIES_AT_ONCE = 8


class Multiparts:
    """The multipart uploads of a bucket, by the key they are for."""

    def __init__(self, connection: S3Connection) -> None:
        self._connection = connection
        self._ids: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, key: str) -> None:
        """Create the multipart upload of a key."""
        connection = self._connection
        with translated(key):
            connection.client.create_multipart_upload(**connection.at(key), ContentType="application/octet-stream")

    def id_of(self, key: str) -> str:
        """The upload id for a key; raises ObjectNotFound.

        Looked up, not taken from the answer to creation: when that answer was lost and botocore asked again there
        are two, and every process must use the same one.
        """
        with self._lock:
            if key in self._ids:
                self._ids.move_to_end(key)
                return self._ids[key]
        found = min(((each["Initiated"], each["UploadId"]) for each in self._listed(key)), default=None)
        if found is None:
            raise ObjectNotFound(key)
        with self._lock:
            self._ids[key] = found[1]
            if len(self._ids) > REMEMBERED:
                self._ids.popitem(last=False)
        return str(found[1])

    def forget(self, key: str) -> None:
        """The multipart of this key is over."""
        with self._lock:
            self._ids.pop(key, None)

    def parts(self, key: str) -> Iterator[dict[str, Any]]:
        """Number (from 1), size and ETag of each part; raises ObjectNotFound."""
        connection = self._connection
        upload_id = self.id_of(key)
        with translated(key):
            pages = connection.client.get_paginator("list_parts")
            for page in pages.paginate(**connection.at(key), UploadId=upload_id):
                yield from page.get("Parts", ())

    def put(self, key: str, number: int, body: Any, nbytes: int, md5: bytes) -> None:
        """Send part `number` (from 1) from a seekable file; raises ObjectNotFound."""
        connection = self._connection
        upload_id = self.id_of(key)
        with translated(key):
            connection.client.upload_part(
                **connection.at(key),
                UploadId=upload_id,
                PartNumber=number,
                Body=body,
                ContentLength=nbytes,
                ContentMD5=b64encode(md5).decode(),
            )

    def copy_parts(self, source: str, key: str, starts: Sequence[int], nbytes: int, part_nbytes: int) -> None:
        """Copy the parts that begin at `starts` of an object of `nbytes` bytes; they never leave the store."""
        connection = self._connection
        upload_id = self.id_of(key)

        def copy(start: int) -> None:
            with translated(source):
                connection.client.upload_part_copy(
                    **connection.at(key),
                    UploadId=upload_id,
                    PartNumber=start // part_nbytes + 1,
                    CopySource=connection.at(source),
                    CopySourceRange=f"bytes={start}-{min(start + part_nbytes, nbytes) - 1}",
                )

        with ThreadPoolExecutor(COPIES_AT_ONCE) as threads:
            list(threads.map(copy, starts))

    def complete(self, key: str) -> bool:
        """Make an object of the parts; False when there are none, which S3 does not take. Raises ObjectNotFound."""
        connection = self._connection
        parts = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in self.parts(key)]
        if not parts:
            return False
        upload_id = self.id_of(key)
        with translated(key):
            connection.client.complete_multipart_upload(
                **connection.at(key), UploadId=upload_id, MultipartUpload={"Parts": parts}
            )
        self.forget(key)
        return True

    def abort(self, key: str) -> None:
        """Drop every multipart upload of a key, with its parts."""
        connection = self._connection
        self.forget(key)
        for found in list(self._listed(key)):
            try:
                with translated(key):
                    connection.client.abort_multipart_upload(**connection.at(key), UploadId=found["UploadId"])
            except ObjectNotFound:
                continue  # somebody else was faster

    def under(self, prefix: str) -> Iterator[dict[str, Any]]:
        """All multipart uploads whose keys begin with `prefix`, with "Key" as it is in the bucket."""
        connection = self._connection
        with translated(prefix):
            pages = connection.client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=connection.bucket, Prefix=connection.prefix + prefix):
                yield from page.get("Uploads", ())

    def _listed(self, key: str) -> Iterator[dict[str, Any]]:
        return (found for found in self.under(key) if found["Key"] == self._connection.prefix + key)


class S3PartWriter:
    """Gathers a part, because sending it again after a failure needs all of it, and sends it when it is finished."""

    def __init__(self, multiparts: Multiparts, key: str, number: int) -> None:
        self._multiparts, self._key, self._number = multiparts, key, number
        self._spool = tempfile.SpooledTemporaryFile(SPOOL_NBYTES)  # noqa: SIM115  closed by close()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._nbytes = 0

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Append the buffers; raises StorageFull when there is no room for temporary files."""
        with translated(self._key):
            for buffer in buffers:
                self._md5.update(buffer)
                self._nbytes += self._spool.write(buffer)

    def finish(self) -> None:
        """Send the part; raises ObjectNotFound when its multipart is over."""
        self._spool.seek(0)
        try:
            self._multiparts.put(self._key, self._number, self._spool, self._nbytes, self._md5.digest())
        except ObjectNotFound:
            self._multiparts.forget(self._key)
            raise

    def close(self) -> None:
        """Let go of the bytes."""
        self._spool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
