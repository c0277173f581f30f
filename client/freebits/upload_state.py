"""What a push remembers on disk, so that a killed one resumes.

    $XDG_CACHE_HOME/freebits/uploads/<key>/record.json      digest, encoding, session id
                                          container.fb      the encoded file, complete once it has this name

                                          owner           pid of the push that works with it

`key` is a digest of endpoint, repo, real path, size and modification time: a changed file starts anew. A second push of
the same file at the same time gets a folder, and so a session, of its own: two must not share one.
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
        self._claimed: dict[str, FileState] = {}

    def of(self, repo: str, file: LocalFile) -> FileState:
        """The state of `file` on its way to `repo`."""
        facts = [self._endpoint, repo, str(file.source.resolve()), file.nbytes, file.mtime_ns]
        key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
        if key not in self._claimed:
            folder = self._root / key
            self._claimed[key] = FileState(folder if _claim(folder) else self._root / f"{key}.{os.getpid()}")
        return self._claimed[key]

    def drop_stale(self) -> None:
        """Forget uploads that nobody resumed for two weeks; the hub has dropped their sessions long ago."""
        if not self._root.is_dir():
            return
        for folder in self._root.iterdir():
            if time.time() - folder.stat().st_mtime > STALE_AFTER_S:
                shutil.rmtree(folder, ignore_errors=True)


def _claim(folder: Path) -> bool:
    """Make this process the owner of `folder`; False while another living one is. An owner that died is followed."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    owner, mine = folder / "owner", folder / f"owner.{os.getpid()}.tmp"
    mine.write_text(str(os.getpid()))
    try:
        while True:
            try:
                os.link(mine, owner)  # appears complete or not at all
                return True
            except FileExistsError:
                if _is_alive(owner):
                    return False
                owner.unlink(missing_ok=True)
    finally:
        mine.unlink(missing_ok=True)


def _is_alive(owner: Path) -> bool:
    """Whether the process named in `owner` runs, and is not this one (whose number was used before)."""
    try:
        pid = int(owner.read_text())
        if pid == os.getpid():
            return False
        os.kill(pid, 0)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/freebits, by default ~/.cache/freebits."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "freebits"
