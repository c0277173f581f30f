"""Commits and the files of a revision."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from .fields import Answer, BlobState, CommitId, Nbytes, RepoKind, Request, Sha256


class AddFile(Request):
    """Put uploaded content at a path."""

    op: Literal["add"]
    path: str
    sha256: Sha256
    nbytes: Nbytes


class DeleteFile(Request):
    """Take the file at a path away."""

    op: Literal["delete"]
    path: str


Operation = Annotated[AddFile | DeleteFile, Field(discriminator="op")]


class NewCommit(Request):
    """Changes to make to a branch, if it is still at `parent`."""

    branch: str = "main"
    parent: CommitId | None
    message: Annotated[str, Field(min_length=1, max_length=4096)]
    description: Annotated[str, Field(max_length=1 << 20)] = ""
    operations: list[Operation]


class Commit(Answer):
    """An immutable revision."""

    id: CommitId
    parent: CommitId | None
    author: str
    message: str
    description: str
    created_at: datetime


class CommitList(Answer):
    """A page of history, newest first; `next` goes into ``after``."""

    items: list[Commit]
    next: str | None


class Entry(Answer):
    """A file or directory of a revision; a directory has a path only."""

    type: Literal["file", "directory"]
    path: str
    nbytes: int | None = None
    sha256: Sha256 | None = None
    stored_nbytes: int | None = None
    state: BlobState | None = None


class Tree(Answer):
    """A page of the files of a revision, sorted by path; `next` goes into ``after``, `kind` is the repo's."""

    commit: CommitId
    kind: RepoKind
    items: list[Entry]
    next: str | None
