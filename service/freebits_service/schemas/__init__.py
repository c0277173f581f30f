"""Requests and answers of the REST API; the source of its OpenAPI description. One file per feature."""

from __future__ import annotations

from .accounts import IssuedToken, NewToken, NewUser, Whoami
from .commits import AddFile, Commit, CommitList, DeleteFile, Entry, NewCommit, Operation, Tree
from .fields import Answer, ErrorBody, Request
from .jobs import Job, JobList, Worker, WorkerList
from .repos import (
    DeletedRef,
    DeletedRefList,
    DeletedRepo,
    DeletedRepoList,
    NewRef,
    NewRepo,
    Ref,
    RefList,
    Repo,
    RepoChange,
    RepoList,
    Undelete,
)
from .tensors import SharedTensor, SharedTensorList, Tensor, TensorList
from .uploads import NewUpload, Part, PartUrl, PartUrls, Upload

__all__ = [
    "AddFile",
    "Answer",
    "Commit",
    "CommitList",
    "DeleteFile",
    "DeletedRef",
    "DeletedRefList",
    "DeletedRepo",
    "DeletedRepoList",
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
    "SharedTensor",
    "SharedTensorList",
    "Tensor",
    "TensorList",
    "Tree",
    "Undelete",
    "Upload",
    "Whoami",
    "Worker",
    "WorkerList",
]
