"""Somebody was there first."""

from __future__ import annotations

from .base import ServiceError


class UserExists(ServiceError):
    """The user name is taken."""

    code = "USER_EXISTS"


class NamespaceInUse(ServiceError):
    """A user or organization whose namespace has repos cannot be removed."""

    code = "NAMESPACE_IN_USE"


class RepoExists(ServiceError):
    """The repo name is taken; `detail["repo"]` is the one that has it."""

    code = "REPO_EXISTS"


class RefExists(ServiceError):
    """The branch or tag name is taken."""

    code = "REF_EXISTS"


class DefaultBranchInUse(ServiceError):
    """The default branch of a repo cannot be deleted."""

    code = "DEFAULT_BRANCH"


class CollectionRunning(ServiceError):
    """Somebody else collects; only one may at a time."""

    code = "COLLECTION_RUNNING"


class HeadMoved(ServiceError):
    """The compare-and-set of a branch lost; `detail["head"]` is where the branch is now."""

    code = "HEAD_MOVED"

    def __init__(self, branch: str, head: str | None, parent: str | None) -> None:
        super().__init__(
            f"branch {branch!r} is at {head or 'no commit'}, the commit was made on {parent or 'no commit'}; "
            "look at what is there now and commit on top of it",
            branch=branch,
            head=head,
            parent=parent,
        )


class ParentNotHead(HeadMoved):
    """The same, of a commit that a Hugging Face client made: those expect 412."""

    code = "PARENT_NOT_HEAD"
