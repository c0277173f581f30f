"""Read objects whole and compare digests. Blocking; call from a thread or a worker."""

from __future__ import annotations

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, Protocol, cast

from freebits_codecs import ContainerReader
from freebits_codecs.container.view import OriginalFile
from freebits_codecs.errors import CannotReproduce, CodecError, MissingLibrary

from ..errors import DigestMismatch
from ..settings import MIB
from .contents import expand_object
from .store import ObjectReader


class Watcher(Protocol):
    """Sees the original bytes of a container go by while they are checked."""

    def begin(self, original: BinaryIO, nbytes: int) -> None:
        """Before the first piece; `original` may be looked into."""
        ...

    def note(self, piece: memoryview) -> None:
        """The next piece."""
        ...


def sha256_of(reader: ObjectReader, start: int = 0, stop: int | None = None) -> str:
    """SHA-256 of the bytes ``[start, stop)`` of an object."""
    digest, end = hashlib.sha256(), reader.nbytes if stop is None else stop
    for offset in range(start, end, MIB):
        digest.update(reader.read_at(offset, min(MIB, end - offset)))
    return digest.hexdigest()


def check_bytes(reader: ObjectReader, nbytes: int, sha256: str) -> None:
    """Raises DigestMismatch unless the object has this size and digest."""
    if reader.nbytes != nbytes:
        raise DigestMismatch(f"{reader.nbytes} bytes arrived, {nbytes} were announced", nbytes=reader.nbytes)
    found = sha256_of(reader)
    if found != sha256:
        raise DigestMismatch(f"the bytes have SHA-256 {found}, announced was {sha256}", sha256=found)


def check_container(reader: ObjectReader, nbytes: int, sha256: str, watcher: Watcher | None = None) -> None:
    """Raises DigestMismatch unless the container decodes to a file of this size and digest.

    The size it claims is compared before anything is decoded, so a small container cannot make us decode for
    hours.
    """
    try:
        container = ContainerReader(reader)
        if container.nbytes != nbytes:
            raise DigestMismatch(f"the container holds {container.nbytes} bytes, {nbytes} were announced")
        digest = hashlib.sha256()
        if watcher is not None:
            watcher.begin(cast(BinaryIO, OriginalFile(container)), container.nbytes)
        for piece in container.iter():
            digest.update(piece)
            if watcher is not None:
                watcher.note(piece)
    except (CodecError, EOFError) as error:
        raise DigestMismatch(f"the container cannot be decoded: {error}") from error
    if digest.hexdigest() != sha256:
        raise DigestMismatch(f"the container decodes to SHA-256 {digest.hexdigest()}, announced was {sha256}")


def check_symmetric(
    reader: ObjectReader, nbytes: int, sha256: str, scratch: Path, watcher: Watcher | None = None
) -> None:
    """Raises DigestMismatch unless the symmetric form expands to a file of this size and digest, which `scratch` holds
    meanwhile.

    Raises CannotReproduce and MissingLibrary where that cannot be told in this process, StorageFull.
    """
    with TemporaryDirectory(dir=scratch) as folder:
        path = Path(folder) / "expanded"
        try:
            found = expand_object(reader, path)
        except (CannotReproduce, MissingLibrary):
            raise
        except (CodecError, EOFError) as error:
            raise DigestMismatch(f"the symmetric form cannot be expanded: {error}") from error
        if found != (nbytes, sha256):
            raise DigestMismatch(
                f"{found[0]} bytes of SHA-256 {found[1]} were made, announced were {nbytes} of {sha256}"
            )
        if watcher is not None:
            _show(path, nbytes, watcher)


def _show(path: Path, nbytes: int, watcher: Watcher) -> None:
    with path.open("rb") as file:
        watcher.begin(file, nbytes)
    with path.open("rb") as file:
        while piece := file.read(MIB):
            watcher.note(memoryview(piece))
