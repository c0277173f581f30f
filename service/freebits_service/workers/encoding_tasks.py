"""What the child process does for jobs that encode."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from typing import BinaryIO, cast

from freebits_codecs import encode_file

from ..blobs.files import ObjectFile, StagedFile
from ..blobs.store import BlobStore
from ..blobs.verify import check_bytes, check_container
from ..errors import DigestMismatch
from ..settings import MIB
from ..tensors.digests import ContainerIndexer
from .encoder import Tell


@dataclass(frozen=True, slots=True)
class Encoded:
    """A container whose parts are all there."""

    nbytes: int
    sha256: str
    encode_s: float


@dataclass(frozen=True, slots=True)
class Encode:
    """Encode the object `raw_key`, whose content must have this digest, into parts of the object `key`."""

    raw_key: str
    key: str
    part_nbytes: int
    sha256: str
    threads: int

    def perform(self, store: BlobStore, tell: Tell) -> Encoded:
        """Raises DigestMismatch, StorageFull, and what the codecs do."""
        begun = time.monotonic()
        with (
            store.open(self.raw_key) as reader,
            StagedFile(store, self.key, self.part_nbytes) as container,
            io.BufferedReader(ObjectFile(reader), MIB) as source,
        ):
            sink = cast(BinaryIO, container)
            summary = encode_file(
                source, sink, threads=self.threads, progress=lambda nbytes, _: tell.progress(nbytes), sha256=True
            )
            container.finish()
        encode_s = time.monotonic() - begun
        if summary.sha256 != self.sha256:
            raise DigestMismatch(f"the raw object has SHA-256 {summary.sha256}, its blob is {self.sha256}")
        return Encoded(container.nbytes, container.sha256, encode_s)


@dataclass(frozen=True, slots=True)
class Verified:
    """The container is what it should be; so many tensors were found in it on the way."""

    tensor_count: int | None


@dataclass(frozen=True, slots=True)
class Verify:
    """Check that the container `key` has these bytes and decodes to a file of this size and digest."""

    key: str
    stored_nbytes: int
    stored_sha256: str
    nbytes: int
    sha256: str

    def perform(self, store: BlobStore, tell: Tell) -> Verified:
        """Raises DigestMismatch."""
        indexer = ContainerIndexer(tell.tensors)
        with store.open(self.key) as container:
            check_bytes(container, self.stored_nbytes, self.stored_sha256)
            check_container(container, self.nbytes, self.sha256, indexer)
        return Verified(indexer.finish())
