"""Requests and answers of the REST API; the source of its OpenAPI description. One file per feature."""

from __future__ import annotations

from .accounts import (
    IssuedToken,
    Member,
    MemberList,
    NewMember,
    NewOrg,
    NewToken,
    NewUser,
    Org,
    OrgList,
    TokenFacts,
    TokenList,
    User,
    UserChange,
    UserList,
    Whoami,
)
from .audit import AuditLine, AuditList
from .commits import AddFile, Commit, CommitList, DeleteFile, Entry, NewCommit, Operation, Tree
from .fields import Answer, ErrorBody, Request
from .jobs import Job, JobList, Worker, WorkerList
from .oidc import FinishedLogin, Login, NewLogin
from .quotas import QuotaChange, Recount, Recounted, Usage
from .repos import NewRef, NewRepo, Ref, RefList, Repo, RepoChange, RepoList
from .uploads import NewUpload, Part, PartUrl, PartUrls, Upload

__all__ = [
    "AddFile",
    "Answer",
    "AuditLine",
    "AuditList",
    "Commit",
    "CommitList",
    "DeleteFile",
    "Entry",
    "ErrorBody",
    "FinishedLogin",
    "IssuedToken",
    "Job",
    "JobList",
    "Login",
    "Member",
    "MemberList",
    "NewCommit",
    "NewLogin",
    "NewMember",
    "NewOrg",
    "NewRef",
    "NewRepo",
    "NewToken",
    "NewUpload",
    "NewUser",
    "Operation",
    "Org",
    "OrgList",
    "Part",
    "PartUrl",
    "PartUrls",
    "QuotaChange",
    "Recount",
    "Recounted",
    "Ref",
    "RefList",
    "Repo",
    "RepoChange",
    "RepoList",
    "Request",
    "TokenFacts",
    "TokenList",
    "Tree",
    "Upload",
    "Usage",
    "User",
    "UserChange",
    "UserList",
    "Whoami",
    "Worker",
    "WorkerList",
]
