"""What of the upstream's answers is read. They have more; it is ignored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from ..schemas.fields import CommitId, Nbytes, Sha256


class Received(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Described(Received):
    """A repo at a revision; `gated` is False or how readers are let in."""

    sha: CommitId
    private: bool = False
    gated: bool | str = False
    last_modified: AwareDatetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether everybody may read it there."""
        return not self.private and not self.gated


class Named(Received):
    """A repo by its full name."""

    id: str


class Lfs(Received):
    """What a large file is."""

    oid: Sha256
    size: Nbytes


class Listed(Received):
    """A file or folder; `oid` is what git calls its blob, of the pointer for a file with `lfs`."""

    type: Literal["file", "directory"]
    path: str
    oid: Annotated[str, Field(pattern="^[0-9a-f]{40}$")]
    size: Nbytes = 0
    lfs: Lfs | None = None


class NamedRef(Received):
    """A branch or tag."""

    name: str


class Refs(Received):
    """Branches and tags."""

    tags: list[NamedRef] = []
