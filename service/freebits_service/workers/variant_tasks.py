"""What the child process does for jobs that make variants, and for readers of files in a symmetric form."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from freebits_codecs.errors import CannotReproduce, MissingLibrary, NotSymmetric

from ..blobs.contents import StoredContent, write_content
from ..blobs.files import StagedFile, store_object
from ..blobs.keys import new_container_key, new_raw_key
from ..blobs.store import BlobStore, ObjectNotFound
from ..blobs.verify import check_bytes, check_symmetric
from ..errors import BlobDamaged
from ..settings import MIB
from ..tensors.digests import ContainerIndexer
from .encoder import Refused, Tell
from .encoding_tasks import Verified

if TYPE_CHECKING:
    from freebits_codecs.symmetry import VariantFile


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a variant, `nbytes` of digest `sha256` for who reads it, and the object that holds it."""

    path: str
    key: str
    nbytes: int
    sha256: str
    stored_nbytes: int
    stored_sha256: str


@dataclass(frozen=True, slots=True)
class Made:
    """A variant whose objects are all stored. `files` are symmetric forms, which take the place of `removed`."""

    files: tuple[StoredFile, ...]
    removed: tuple[str, ...]
    report: StoredFile
    before_nbytes: int
    after_nbytes: int


@dataclass(frozen=True, slots=True)
class MakeVariant:
    """Check `files` out into `folder`, make the variant of them, store what it consists of under keys of `origin`.

    `about` is what the report says of the source besides.
    """

    method: str
    parameters: Mapping[str, Any]
    files: Sequence[tuple[str, StoredContent]]
    folder: Path
    origin: str
    report_path: str
    about: Mapping[str, Any]
    part_nbytes: int
    threads: int
    device: str | None

    def perform(self, store: BlobStore, tell: Tell) -> Made:
        """Raises Refused for a model that has not the symmetry, BlobDamaged, StorageFull, what the codecs do."""
        from freebits_codecs.symmetry import make_variant  # noqa: PLC0415 - only who makes one pays for the import

        source, target = self.folder / "source", self.folder / "target"
        self._check_out(store, source, tell)
        target.mkdir()
        try:
            variant = make_variant(
                source,
                target,
                self.method,
                device=self.device if find_spec("torch") else None,  # numpy does it too
                threads=self.threads,
                progress=tell.progress,
                **self.parameters,
            )
        except NotSymmetric as error:
            raise Refused(f"NotSymmetric: {error}") from error
        shutil.rmtree(source)  # make room for what comes next
        files = tuple(self._store_form(store, made) for made in variant.files)
        sizes = variant.report["bytes"]
        report = {**variant.report, "hub": dict(self.about)}
        return Made(files, variant.removed, self._store_report(store, report), sizes["lossless"], sizes["stored"])

    def _check_out(self, store: BlobStore, source: Path, tell: Tell) -> None:
        source.mkdir()
        for path, content in self.files:
            place = source / path
            place.parent.mkdir(parents=True, exist_ok=True)
            write_content(store, content, place, threads=self.threads, passing=lambda _: tell.progress(0))

    def _store_form(self, store: BlobStore, made: VariantFile) -> StoredFile:
        key = new_container_key(made.sha256, self.origin)
        part_nbytes = store.limits.part_nbytes_for(made.container_nbytes, self.part_nbytes)
        store.begin(key)
        with made.container.open("rb") as source, StagedFile(store, key, part_nbytes) as staged:
            shutil.copyfileobj(source, cast(BinaryIO, staged), MIB)
            staged.finish()
        store.finish(key)
        made.container.unlink()
        return StoredFile(made.path, key, made.nbytes, made.sha256, staged.nbytes, staged.sha256)

    def _store_report(self, store: BlobStore, report: Mapping[str, Any]) -> StoredFile:
        data = (json.dumps(report, indent=2, allow_nan=False) + "\n").encode()
        nbytes, sha256 = len(data), hashlib.sha256(data).hexdigest()
        key = new_raw_key(sha256, self.origin)
        store_object(store, key, data)
        return StoredFile(self.report_path, key, nbytes, sha256, nbytes, sha256)


@dataclass(frozen=True, slots=True)
class VerifyForm:
    """Check that a symmetric form has these bytes and expands, in `folder`, to the file that it is said to be."""

    file: StoredFile
    folder: Path

    def perform(self, store: BlobStore, tell: Tell) -> Verified:
        """Raises DigestMismatch, StorageFull, CannotReproduce, MissingLibrary."""
        indexer = ContainerIndexer(tell.tensors)
        with store.open(self.file.key) as reader:
            check_bytes(reader, self.file.stored_nbytes, self.file.stored_sha256)
            check_symmetric(reader, self.file.nbytes, self.file.sha256, self.folder, indexer)
        return Verified(indexer.finish())


@dataclass(frozen=True, slots=True)
class Written:
    """What became of writing a file: it is there, or why not."""

    outcome: Literal["ok", "damaged", "missing", "impossible"]
    why: str = ""


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Write content to `path`, a new file, its digest compared."""

    content: StoredContent
    path: Path
    threads: int

    def perform(self, store: BlobStore, tell: Tell) -> Written:
        """Raises StorageFull, Unavailable; what readers are told otherwise is in the result."""
        try:
            write_content(store, self.content, self.path, threads=self.threads, passing=tell.progress)
        except BlobDamaged:
            return Written("damaged")
        except ObjectNotFound:
            return Written("missing")
        except (CannotReproduce, MissingLibrary) as error:
            return Written("impossible", str(error))
        return Written("ok")
