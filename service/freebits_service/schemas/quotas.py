"""What a namespace holds, and how much that may be."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .fields import Answer, Request

Limit = Annotated[int, Field(ge=0, le=(1 << 63) - 1)] | Literal["default", "unlimited"]


class Usage(Answer):
    """Bytes that the repos of a namespace hold: of the original files, and as they are stored.

    A limit of null is none.
    """

    namespace: str
    kind: Literal["user", "org", "open", "mirror"]
    logical_nbytes: int
    stored_nbytes: int
    logical_limit_nbytes: int | None
    stored_limit_nbytes: int | None


class QuotaChange(Request):
    """Limits in bytes; what is left out stays, "default" is what the hub's settings say."""

    logical_nbytes: Limit | None = None
    stored_nbytes: Limit | None = None


class Recount(Request):
    """Whose usage to count again; null is everybody's."""

    namespace: str | None = None


class Recounted(Answer):
    """How many namespaces were counted, and which had another usage than was noted."""

    counted: int
    corrected: list[str]
