"""Requests and answers of the REST API; the source of its OpenAPI description. One file per feature."""

from __future__ import annotations

from .accounts import IssuedToken, NewToken, NewUser, Whoami
from .commits import AddFile, Commit, CommitList, DeleteFile, Entry, NewCommit, Operation, Tree
from .fields import Answer, ErrorBody, Request
from .jobs import Job, JobList, Worker, WorkerList
from .repos import NewRef, NewRepo, Ref, RefList, Repo, RepoChange, RepoList
from .uploads import NewUpload, Part, PartUrl, PartUrls, Upload

__all__ = [
    "AddFile",
    "Answer",
    "Commit",
    "CommitList",
    "DeleteFile",
    "Entry",
    "ErrorBody",
    "IssuedToken",
    "Job",
    "JobList",
    "NewCommit",
    "NewRef",
    "NewRepo",
    "NewToken",
    "NewUpload",
    "NewUser",
    "Operation",
    "Part",
    "PartUrl",
    "PartUrls",
    "Ref",
    "RefList",
    "Repo",
    "RepoChange",
    "RepoList",
    "Request",
    "Tree",
    "Upload",
    "Whoami",
    "Worker",
    "WorkerList",
]
