"""What somebody asks for is not there, or not for them to see."""

from __future__ import annotations

from .base import ServiceError


class RepoNotFound(ServiceError):
    """No such repo, or one the caller may not know of."""

    code = "REPO_NOT_FOUND"

    def __init__(self, repo: str) -> None:
        super().__init__(f"no repo {repo!r} that you can see; check the name, or log in if it is private", repo=repo)


class RevisionNotFound(ServiceError):
    """Neither a branch, nor a tag, nor a commit of this repo."""

    code = "REVISION_NOT_FOUND"

    def __init__(self, repo: str, revision: str) -> None:
        super().__init__(
            f"{repo} has no branch, tag or commit {revision!r}; list them with GET /api/v1/repos/{repo}/refs",
            repo=repo,
            revision=revision,
        )


class PathNotFound(ServiceError):
    """The revision has no such file."""

    code = "PATH_NOT_FOUND"

    def __init__(self, path: str, revision: str, commit: str | None = None) -> None:
        known = {} if commit is None else {"commit": commit}
        super().__init__(f"no file {path!r} in revision {revision!r}", path=path, revision=revision, **known)


class UploadNotFound(ServiceError):
    """No such upload of this caller in this repo; it may have expired."""

    code = "UPLOAD_NOT_FOUND"

    def __init__(self, upload_id: str) -> None:
        super().__init__(f"no upload {upload_id!r}; it may have expired, begin a new one", upload=upload_id)


class UserNotFound(ServiceError):
    """No such user."""

    code = "USER_NOT_FOUND"


class OrgNotFound(ServiceError):
    """No such organization, or one the caller is not a member of."""

    code = "ORG_NOT_FOUND"


class NamespaceNotFound(ServiceError):
    """No such namespace, or not one the caller may look into."""

    code = "NAMESPACE_NOT_FOUND"


class TokenNotFound(ServiceError):
    """No such token of that user."""

    code = "TOKEN_NOT_FOUND"


class JobNotFound(ServiceError):
    """No such job."""

    code = "JOB_NOT_FOUND"
