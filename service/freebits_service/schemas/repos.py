"""Repos and their refs."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from .fields import Answer, CommitId, Request, Visibility


class NewRepo(Request):
    """A repo to create."""

    name: str
    visibility: Visibility = "public"


class RepoChange(Request):
    """What may be changed of a repo."""

    visibility: Visibility


class Repo(Answer):
    """A repo and the commit its default branch is at."""

    name: str
    visibility: Visibility
    default_branch: str
    created_at: datetime
    head: CommitId | None


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
    """All refs of a repo."""

    items: list[Ref]
