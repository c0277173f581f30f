"""What Hugging Face clients send. They send more with every release; what is not looked at is ignored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from ..schemas.fields import CommitId, Nbytes, RepoKind, Sha256

MAX_PREUPLOAD_FILES = 1000
MAX_GITIGNORE = 64 * 1024


class Sent(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=True)


class NewRepo(Sent):
    """A repo to create; releases before 1.0 say `private`, later ones `visibility`."""

    name: str
    organization: str | None = None
    type: RepoKind | None = None
    visibility: Literal["public", "private"] | None = None
    private: bool | None = None

    @property
    def wanted_visibility(self) -> Literal["public", "private"]:
        """As it is kept; public where nothing is said."""
        return self.visibility or ("private" if self.private else "public")


class NamedRepo(Sent):
    """A repo to delete."""

    name: str
    organization: str | None = None
    type: RepoKind | None = None


class RepoMove(Sent):
    """A repo to rename."""

    from_repo: str
    to_repo: str
    type: RepoKind = "model"


class RepoSettings(Sent):
    """Settings of a repo to change."""

    visibility: Literal["public", "private"] | None = None
    private: bool | None = None
    gated: Literal[False, "auto", "manual"] | None = None


class NewBranch(Sent):
    """Where a branch begins; the default branch when nothing is said."""

    starting_point: str | None = None


class NewTag(Sent):
    """A tag to put on a revision."""

    tag: str


class Announced(Sent):
    """A file that will be uploaded; `sample` is base64 of its first bytes."""

    path: str
    size: Nbytes


class Preupload(Sent):
    """The files of a commit to come, and rules of which ones to leave out."""

    files: Annotated[list[Announced], Field(max_length=MAX_PREUPLOAD_FILES)]
    git_ignore: Annotated[str, Field(max_length=MAX_GITIGNORE)] | None = None


class Header(Sent):
    """The first line of a commit."""

    summary: Annotated[str, Field(min_length=1, max_length=4096)]
    description: Annotated[str, Field(max_length=1 << 20)] = ""
    parent_commit: CommitId | None = None


class InlineFile(Sent):
    """A file in a commit with its content."""

    path: str
    content: str
    encoding: Literal["base64", "utf-8"] = "utf-8"


class LfsFile(Sent):
    """A file in a commit whose content was uploaded before, or is in a repo that the caller may read (then no size)."""

    path: str
    oid: Sha256
    algo: Literal["sha256"] = "sha256"
    size: Nbytes | None = None


class DeletedPath(Sent):
    """A file or folder to take away."""

    path: str


class LfsObject(Sent):
    """An object of git-lfs."""

    oid: Sha256
    size: Nbytes


class LfsBatch(Sent):
    """Objects to send or to get."""

    operation: Literal["upload", "download"]
    transfers: list[str] = ["basic"]
    objects: Annotated[list[LfsObject], Field(max_length=1000)]
    hash_algo: Literal["sha256"] = "sha256"
