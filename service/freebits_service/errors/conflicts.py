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


class NotAVariantBranch(ServiceError):
    """A variant would take the place of a revision that is none; `detail["branch"]` is where."""

    code = "NOT_A_VARIANT_BRANCH"

    def __init__(self, repo: str, branch: str, what: str) -> None:
        super().__init__(
            f"branch {branch!r} of {repo} is {what}; variants go to branches that do not exist yet or hold a variant: "
            "choose another one",
            branch=branch,
        )


class NotLossless(ServiceError):
    """A variant was asked for of a revision that is a variant itself; `detail["commit"]` is that revision."""

    code = "NOT_LOSSLESS"

    def __init__(self, repo: str, commit: str, report: str) -> None:
        super().__init__(
            f"revision {commit} of {repo} is a variant itself (it has a {report}); ask for one of the revision that it "
            "was made of, which its report names",
            commit=commit,
        )


class ParentNotHead(HeadMoved):
    """The same, of a commit that a Hugging Face client made: those expect 412."""

    code = "PARENT_NOT_HEAD"
