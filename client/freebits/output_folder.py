"""The folder a pull writes into. Paths come from a hub that may be hostile."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from freebits.errors import UnsafePath
from freebits.local_bytes import hash_file
from freebits.part_file import FOLDER, PartFile

_REFUSED_PARTS = frozenset({"", ".", "..", ".git", FOLDER})


class OutputFolder:
    """Places files below `root` and nowhere else."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.parts = root  # where downloads in progress lie, in a folder of their own

    def at(self, _commit: str, _revision: str, _kind: str) -> OutputFolder:
        """One folder, whatever the commit."""
        return self

    def check(self, path: str) -> None:
        """Raises UnsafePath where `target` would."""
        self.target(path)

    def target(self, path: str) -> Path:
        """Where the repo's file `path` goes.

        Raises UnsafePath for absolute paths, "..", ".git", backslashes, drive letters, control characters,
        and when a link on the way leads out of the folder.
        """
        parts = path.split("/")
        if any(part.casefold() in _REFUSED_PARTS for part in parts) or _odd(path):
            raise UnsafePath(f"{path!r} is not a path inside a folder; refusing to write it, do not trust this hub")
        target = self.root.joinpath(*PurePosixPath(path).parts)
        if not target.parent.resolve().is_relative_to(self.root.resolve()):
            raise UnsafePath(f"{target.parent} leads out of {self.root} through a link; remove the link")
        if target.is_dir() and not target.is_symlink():
            raise UnsafePath(f"{target} is a folder and the repo has a file there; move the folder away")
        return target

    def holds(self, path: str, sha256: str, nbytes: int, check_stop: Callable[[], None]) -> bool:
        """True when the file is there already with the right bytes."""
        target = self.target(path)
        if target.is_symlink() or not target.is_file() or target.stat().st_size != nbytes:
            return False
        return hash_file(target, nbytes, check_stop) == sha256

    def keep(self, part: PartFile, path: str, _sha256: str) -> None:
        """The bytes are all there: give them their name. Raises IntegrityError."""
        part.finish(self.target(path))

    def copy(self, source: str, path: str) -> None:
        """Place a file that has the same bytes as the one at `source`, which is there already."""
        target = self.target(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.root / FOLDER).mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.root / FOLDER) as folder:
            draft = Path(folder) / "copy"
            shutil.copyfile(self.target(source), draft)
            draft.replace(target)

    def tidy(self) -> None:
        """Remove the download state when nothing is left in it."""
        with contextlib.suppress(OSError):
            (self.root / FOLDER).rmdir()


def _odd(path: str) -> bool:
    return any(c in "\\:\x7f" or c < " " for c in path)
