"""Variants of revisions: equivalent forms of a model that workers make."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from .fields import Answer, CommitId, Request


class NewVariant(Request):
    """A variant to make of `revision` (the default branch if null), as the head of branch `to` (the method if null)."""

    method: Annotated[str, Field(min_length=1, max_length=32)]
    revision: Annotated[str | None, Field(max_length=255)] = None
    to: Annotated[str | None, Field(max_length=255)] = None
    parameters: Annotated[dict[str, Any], Field(default_factory=dict)]


class Variant(Answer):
    """A variant that was asked for. `is_head` says whether `branch` is still at `commit`.

    `before_nbytes` and `after_nbytes` are what its files take in the store, and those that they replace did.
    """

    branch: str
    method: str
    parameters: dict[str, Any]
    source: CommitId
    commit: CommitId | None
    is_head: bool
    author: str
    job: int
    state: Literal["queued", "running", "done", "parked", "cancelled"]
    before_nbytes: int | None
    after_nbytes: int | None
    created_at: datetime


class VariantList(Answer):
    """A page of variants, newest first; `next` goes into ``after``."""

    items: list[Variant]
    next: int | None
