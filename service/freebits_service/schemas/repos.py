"""Repos and their refs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from .fields import Answer, CommitId, RepoKind, Request, Visibility


class NewRepo(Request):
    """A repo to create."""

    name: str
    visibility: Visibility = "public"


class RepoChange(Request):
    """What may be changed of a repo."""

    visibility: Visibility


class Repo(Answer):
    """A repo and the commit its default branch is at; `mirrored_at` says when it was compared with the upstream's."""

    name: str
    kind: RepoKind
    visibility: Visibility
    default_branch: str
    created_at: datetime
    head: CommitId | None
    mirrored_at: datetime | None = None


class Undelete(Request):
    """Bring back a deleted repo, under another name (``as``) if its own is taken."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    new_name: Annotated[str | None, Field(alias="as")] = None


class DeletedRepo(Answer):
    """A deleted repo under the name it had."""

    name: str
    visibility: Visibility
    deleted_at: datetime
    restorable_until: datetime


class DeletedRepoList(Answer):
    """A page of deleted repos; `next` goes into ``after`` for the following page."""

    items: list[DeletedRepo]
    next: str | None


class DeletedRef(Answer):
    """A deleted branch or tag, the commit it was at, and who deleted it."""

    type: Literal["branch", "tag"]
    name: str
    commit: CommitId
    deleted_at: datetime
    by: str


class DeletedRefList(Answer):
    """A page of deleted refs, newest first; it may be shorter than asked for. `next` goes into ``after``."""

    items: list[DeletedRef]
    next: int | None


class RepoList(Answer):
    """A page of repos; `next` goes into ``after`` for the following page."""

    items: list[Repo]
    next: str | None


class NewRef(Request):
    """A branch or tag to create at a revision."""

    type: Literal["branch", "tag"]
    name: str
    target: str


class Ref(Answer):
    """A branch or tag."""

    type: Literal["branch", "tag"]
    name: str
    commit: CommitId


class RefList(Answer):
    """A page of the refs of a repo; `next` goes into ``after``."""

    items: list[Ref]
    next: str | None
