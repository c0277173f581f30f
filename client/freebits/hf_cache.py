"""The cache of Hugging Face libraries, so that `transformers` and others find what was pulled, without a hub.

    <cache>/models--<namespace>--<name>/blobs/<sha256>              the bytes, once
                                        snapshots/<commit>/<path>   a link to them
                                        refs/<revision>             the commit that a branch or tag was at
    <cache>/datasets--..., spaces--...                              repos of other kinds

Where it lies: HF_HUB_CACHE, HF_HOME/hub, XDG_CACHE_HOME/huggingface/hub, ~/.cache/huggingface/hub. What one of these
libraries has put there is used, and the other way round.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from freebits.errors import ProtocolError, UnsafePath
from freebits.local_bytes import hash_file
from freebits.output_folder import OutputFolder
from freebits.part_file import FOLDER, PartFile

KINDS = ("model", "dataset", "space")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def cache_folder() -> Path:
    """Where the libraries look, by their own variables."""
    for name, inside in (("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", ""), ("HF_HOME", "hub")):
        if os.environ.get(name):
            return Path(os.environ[name]).expanduser() / inside
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "huggingface" / "hub"


class CachedRepo:
    """A repo in the cache."""

    def __init__(self, cache: Path, repo: str) -> None:
        self._cache = cache
        self._name = repo.replace("/", "--")

    def at(self, commit: str, revision: str, kind: str) -> Snapshot:
        """The folder of a commit of a repo of this kind, which `revision` is at now. Raises ProtocolError."""
        if kind not in KINDS:
            raise ProtocolError(f"the hub says that this repo is a {kind[:40]!r}; known are {', '.join(KINDS)}")
        return Snapshot(self._cache / f"{kind}s--{self._name}", commit, revision)


class Snapshot:
    """The files of one commit in the cache."""

    def __init__(self, repo_folder: Path, commit: str, revision: str) -> None:
        self.root = repo_folder / "snapshots" / commit
        self.parts = repo_folder
        self._commit = commit
        self._revision = revision
        self._links = OutputFolder(self.root)

    def check(self, path: str) -> None:
        """Raises UnsafePath for a path that leads out of the snapshot."""
        self._links.check(path)

    def holds(self, path: str, sha256: str, nbytes: int, check_stop: Callable[[], None]) -> bool:
        """True when the bytes are in the cache, whoever put them there; they have their name afterwards."""
        blob = self._blob(sha256)
        if not blob.is_file() or blob.stat().st_size != nbytes or hash_file(blob, nbytes, check_stop) != sha256:
            return False
        self.place(path, sha256)
        return True

    def keep(self, part: PartFile, path: str, sha256: str) -> None:
        """The bytes are all there: give them their names. Raises IntegrityError."""
        part.finish(self._blob(sha256))
        self.place(path, sha256)

    def place(self, path: str, sha256: str) -> None:
        """Give bytes that are there a name in the snapshot."""
        target, blob = self._links.target(path), self._blob(sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        there = Path(os.path.relpath(blob, target.parent))
        if target.is_symlink() and Path(os.readlink(target)) == there:
            return
        draft = target.with_name(f"{target.name}.{os.getpid()}{FOLDER}")
        draft.unlink(missing_ok=True)
        try:
            draft.symlink_to(there)
        except OSError:  # file systems and users without the right to make links
            shutil.copyfile(blob, draft)
        draft.replace(target)

    def copy(self, source: str, path: str) -> None:
        """Give the bytes at `source` another name."""
        self.place(path, self._links.target(source).resolve().name)

    def tidy(self) -> None:
        """Note which commit the revision is at; remove the download state when nothing is left in it."""
        if not _COMMIT.fullmatch(self._revision):
            ref = self.parts / "refs" / self._revision
            if not ref.resolve().is_relative_to((self.parts / "refs").resolve()):
                raise UnsafePath(f"revision {self._revision!r} is not a path inside a folder")
            ref.parent.mkdir(parents=True, exist_ok=True)
            draft = ref.with_name(f"{ref.name}.{os.getpid()}{FOLDER}")
            draft.write_text(self._commit)
            draft.replace(ref)
        self.root.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):
            (self.parts / FOLDER).rmdir()

    def _blob(self, sha256: str) -> Path:
        return self.parts / "blobs" / sha256
