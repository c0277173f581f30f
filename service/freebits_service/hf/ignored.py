"""Which files of an upload a ``.gitignore`` leaves out: the one that is sent, or the one at the root of the branch."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import re2
from pathspec import GitIgnoreSpec
from sqlalchemy.orm import Session

from ..blobs.contents import read_content
from ..blobs.store import BlobStore
from ..errors import InvalidRequest
from ..models import Blob, Commit
from ..trees.queries import find_file
from .schemas import MAX_GITIGNORE

NAME = ".gitignore"


def find_rules(session: Session, head: Commit | None) -> Blob | None:
    """The file with the rules of a branch; None where there are none, or too many."""
    blob = find_file(session, head.tree_id, NAME) if head is not None else None
    return blob if blob is not None and blob.nbytes <= MAX_GITIGNORE else None


def read_rules(store: BlobStore, blob: Blob | None) -> str:
    """What is in such a file; raises BlobDamaged."""
    return "" if blob is None else read_content(store, blob).decode("utf-8", "replace")


def ignored_by(rules: str) -> Callable[[str], bool]:
    """Whether a path is left out by these rules. Matching takes time in proportion to the path, whatever the rules.

    Lines that are no pattern say nothing, as for git. Raises InvalidRequest for rules that together are too much.
    """
    lines = rules.splitlines()
    spec = _compiled(lines)
    if spec is None:
        spec = _compiled([line for line in lines if _compiled([line]) is not None])
    if spec is None:
        raise InvalidRequest(f"the {NAME} has {len(lines)} lines that together take too much memory; make it simpler")
    return spec.match_file


def _compiled(lines: Sequence[str]) -> GitIgnoreSpec | None:
    try:
        return GitIgnoreSpec.from_lines(lines, backend="re2")
    except (ValueError, re.error, re2.error):
        return None
