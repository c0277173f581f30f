"""The original bytes of blobs, however they are stored: in memory where they are few, else as a file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from freebits_codecs import ContainerReader
from freebits_codecs.errors import CannotReproduce, CodecError, MissingLibrary

from ..errors import BlobDamaged
from ..settings import MIB
from .local_parts import storage_full_translated
from .store import BlobStore, ObjectNotFound, ObjectReader

if TYPE_CHECKING:  # encoding processes know no tables
    from ..models import Blob

Piece = bytes | memoryview


@dataclass(frozen=True, slots=True)
class StoredContent:
    """Where and in which form the bytes of a blob are, as far as another process has to know."""

    sha256: str
    nbytes: int
    key: str
    form: Literal["raw", "container", "symmetric"]

    @classmethod
    def of(cls, blob: Blob) -> Self:
        """What the hub has of a blob; raises BlobDamaged when it has nothing good."""
        key = blob.container_key or blob.raw_key
        if not blob.is_good or key is None:
            raise BlobDamaged(blob.sha256)
        form: Literal["raw", "container", "symmetric"] = "raw"
        if blob.container_key is not None:
            form = "symmetric" if blob.symmetric else "container"
        return cls(blob.sha256, blob.nbytes, key, form)


def read_content(store: BlobStore, blob: Blob) -> bytes:
    """All bytes of a blob that fits into memory and is not stored in a symmetric form; raises BlobDamaged."""
    content = StoredContent.of(blob)
    try:
        with store.open(content.key) as reader:
            return b"".join(_pieces(reader, content))
    except (ObjectNotFound, CodecError, EOFError) as error:
        raise BlobDamaged(blob.sha256) from error


def write_content(
    store: BlobStore, content: StoredContent, path: Path, *, threads: int = 1, passing: Callable[[int], None]
) -> None:
    """Write all bytes of a blob to a new file and compare its SHA-256; `passing` is told how many are done.

    Raises BlobDamaged, ObjectNotFound, StorageFull; and CannotReproduce or MissingLibrary where a symmetric form cannot
    be expanded in this process.
    """
    try:
        with store.open(content.key) as reader:
            if content.form == "symmetric":
                found = expand_object(reader, path, threads)
                passing(content.nbytes)
            else:
                found = _write(_pieces(reader, content), path, passing)
    except (CannotReproduce, MissingLibrary):
        raise
    except (CodecError, EOFError) as error:
        raise BlobDamaged(content.sha256) from error
    if found != (content.nbytes, content.sha256):
        raise BlobDamaged(content.sha256)


def _pieces(reader: ObjectReader, content: StoredContent) -> Iterator[Piece]:
    if content.form != "raw":
        yield from ContainerReader(reader).iter()
        return
    for start in range(0, reader.nbytes, MIB):
        yield reader.read_at(start, min(MIB, reader.nbytes - start))


def _write(pieces: Iterator[Piece], path: Path, passing: Callable[[int], None]) -> tuple[int, str]:
    digest, nbytes = hashlib.sha256(), 0
    with storage_full_translated(), path.open("xb") as file:
        for piece in pieces:
            digest.update(piece)
            nbytes += file.write(piece)
            passing(nbytes)
    return nbytes, digest.hexdigest()


def expand_object(reader: ObjectReader, path: Path, threads: int = 1) -> tuple[int, str]:
    """Write the file of a symmetric form; its size and SHA-256. Raises StorageFull and what the codecs do."""
    from freebits_codecs.symmetry import expand  # noqa: PLC0415 - only processes that expand pay for the import

    with storage_full_translated():
        found = expand(reader, path, threads=threads)
    return found.nbytes, found.sha256
