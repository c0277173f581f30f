"""What a push remembers on disk, so that a killed one resumes.

    $XDG_CACHE_HOME/freebits/uploads/<key>/record.json      digest, encoding, session id
                                          container.fb      the encoded file, complete once it has this name

`key` is a digest of endpoint, repo, real path, size and modification time: a changed file starts anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from freebits.local_files import LocalFile

STALE_AFTER_S = 14 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Record:
    """How far the upload of one file has come."""

    sha256: str
    encoding: str | None = None
    upload_id: str | None = None
    stored_nbytes: int = 0
    stored_sha256: str = ""


class FileState:
    """The remembered state of one file's upload."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.container = folder / "container.fb"

    def load(self) -> Record | None:
        """The record of an earlier try; None when there is none that can be read."""
        try:
            record = Record(**json.loads((self._folder / "record.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None
        if record.encoding == "freebits" and not self.container.exists():
            return Record(record.sha256)
        return record

    def save(self, record: Record) -> None:
        """Replace the record, atomically."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._folder / f"record.{os.getpid()}.tmp"
        draft.write_text(json.dumps(dataclasses.asdict(record)))
        draft.replace(self._folder / "record.json")

    def draft_container(self) -> Path:
        """Where a container is written before it gets its name."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._folder / f"container.{os.getpid()}.tmp"

    def forget(self) -> None:
        """The file has arrived: nothing to resume."""
        shutil.rmtree(self._folder, ignore_errors=True)


class UploadState:
    """The folder of all remembered uploads to one hub."""

    def __init__(self, endpoint: str, root: Path | None = None) -> None:
        self._endpoint = endpoint
        self._root = root or cache_folder() / "uploads"

    def of(self, repo: str, file: LocalFile) -> FileState:
        """The state of `file` on its way to `repo`."""
        facts = [self._endpoint, repo, str(file.source.resolve()), file.nbytes, file.mtime_ns]
        key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
        return FileState(self._root / key)

    def drop_stale(self) -> None:
        """Forget uploads that nobody resumed for two weeks; the hub has dropped their sessions long ago."""
        if not self._root.is_dir():
            return
        for folder in self._root.iterdir():
            if time.time() - folder.stat().st_mtime > STALE_AFTER_S:
                shutil.rmtree(folder, ignore_errors=True)


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/freebits, by default ~/.cache/freebits."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "freebits"
