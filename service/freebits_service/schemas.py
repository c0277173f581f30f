"""Requests and answers of the REST API; the source of its OpenAPI description."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256, lower-case hex")]
CommitId = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$", description="commit id, lower-case hex")]
Nbytes = Annotated[int, Field(ge=0, le=(1 << 63) - 1, strict=True)]
Visibility = Literal["public", "private"]
BlobState = Literal["raw", "encoding", "encoded"]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True, frozen=True)


class ErrorBody(_Answer):
    """What every error answers with; `code` is stable, `message` is for people."""

    code: str
    message: str
    detail: dict[str, Any]
    request_id: str


class Whoami(_Answer):
    """Who the token belongs to."""

    name: str
    role: Literal["admin", "user"]


class NewUser(_Request):
    """A user to create."""

    name: str
    role: Literal["admin", "user"] = "user"


class NewToken(_Request):
    """A token to make for a user."""

    label: Annotated[str, Field(max_length=96)] = ""


class IssuedToken(_Answer):
    """A token, in clear for the only time."""

    id: int
    user: str
    label: str
    token: str


class NewRepo(_Request):
    """A repo to create."""

    name: str
    visibility: Visibility = "public"


class RepoChange(_Request):
    """What may be changed of a repo."""

    visibility: Visibility


class Repo(_Answer):
    """A repo and the commit its default branch is at."""

    name: str
    visibility: Visibility
    default_branch: str
    created_at: datetime
    head: CommitId | None


class RepoList(_Answer):
    """A page of repos; `next` goes into ``after`` for the following page."""

    items: list[Repo]
    next: str | None


class NewRef(_Request):
    """A branch or tag to create at a revision."""

    type: Literal["branch", "tag"]
    name: str
    target: str


class Ref(_Answer):
    """A branch or tag."""

    type: Literal["branch", "tag"]
    name: str
    commit: CommitId


class RefList(_Answer):
    """All refs of a repo."""

    items: list[Ref]


class AddFile(_Request):
    """Put uploaded content at a path."""

    op: Literal["add"]
    path: str
    sha256: Sha256
    nbytes: Nbytes


class DeleteFile(_Request):
    """Take the file at a path away."""

    op: Literal["delete"]
    path: str


Operation = Annotated[AddFile | DeleteFile, Field(discriminator="op")]


class NewCommit(_Request):
    """Changes to make to a branch, if it is still at `parent`."""

    branch: str = "main"
    parent: CommitId | None
    message: Annotated[str, Field(min_length=1, max_length=4096)]
    description: Annotated[str, Field(max_length=1 << 20)] = ""
    operations: list[Operation]


class Commit(_Answer):
    """An immutable revision."""

    id: CommitId
    parent: CommitId | None
    author: str
    message: str
    description: str
    created_at: datetime


class CommitList(_Answer):
    """A page of history, newest first; `next` goes into ``after``."""

    items: list[Commit]
    next: str | None


class Entry(_Answer):
    """A file or directory of a revision; a directory has a path only."""

    type: Literal["file", "directory"]
    path: str
    nbytes: int | None = None
    sha256: Sha256 | None = None
    stored_nbytes: int | None = None
    state: BlobState | None = None


class Tree(_Answer):
    """A page of the files of a revision, sorted by path; `next` goes into ``after``."""

    commit: CommitId
    items: list[Entry]
    next: str | None


class NewUpload(_Request):
    """Content to upload: what it is, and the bytes that will be sent for it."""

    sha256: Sha256
    nbytes: Nbytes
    encoding: Literal["identity", "freebits"] = "identity"
    stored_nbytes: Nbytes
    stored_sha256: Sha256


class Upload(_Answer):
    """A resumable upload and which parts have been received."""

    id: str
    repo: str
    sha256: Sha256
    nbytes: int
    encoding: Literal["identity", "freebits"]
    stored_nbytes: int
    part_nbytes: int
    part_count: int
    received: list[int]
    state: Literal["receiving", "complete"]
    expires_at: datetime


class Part(_Answer):
    """A part as it was received."""

    number: int
    nbytes: int
    sha256: Sha256


class Job(_Answer):
    """Background work on a blob."""

    id: int
    key: str
    state: Literal["queued", "running", "done", "parked", "cancelled"]
    failures: int
    progress_nbytes: int
    outcome: str
    created_at: datetime
    finished_at: datetime | None


class JobList(_Answer):
    """A page of jobs, newest first; `next` goes into ``after``."""

    items: list[Job]
    next: int | None
