"""The original bytes of short blobs, however they are stored."""

from __future__ import annotations

from freebits_codecs import ContainerReader
from freebits_codecs.errors import CodecError

from ..errors import BlobDamaged
from ..models import Blob
from .store import BlobStore, ObjectNotFound


def read_content(store: BlobStore, blob: Blob) -> bytes:
    """All bytes of a blob that fits into memory; raises BlobDamaged."""
    key = blob.container_key or blob.raw_key
    if not blob.is_good or key is None:
        raise BlobDamaged(blob.sha256)
    try:
        with store.open(key) as reader:
            if blob.container_key is None:
                return reader.read_at(0, reader.nbytes)
            return b"".join(ContainerReader(reader).iter())
    except (ObjectNotFound, CodecError, EOFError) as error:
        raise BlobDamaged(blob.sha256) from error
