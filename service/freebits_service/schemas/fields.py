"""What all requests and answers are made of."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256, lower-case hex")]
CommitId = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$", description="commit id, lower-case hex")]
Nbytes = Annotated[int, Field(ge=0, le=(1 << 63) - 1, strict=True)]
Visibility = Literal["public", "private"]
RepoKind = Literal["model", "dataset", "space"]
BlobState = Literal["raw", "encoding", "encoded", "remote"]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*")
    @classmethod
    def _without_nul(cls, value: Any) -> Any:
        """Postgres keeps no NUL in a text."""
        if isinstance(value, str) and "\0" in value:
            raise ValueError("must not contain a NUL character")
        return value


class Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True, frozen=True)


class ErrorBody(Answer):
    """What every error answers with; `code` is stable, `message` is for people."""

    code: str
    message: str
    detail: dict[str, Any]
    request_id: str
