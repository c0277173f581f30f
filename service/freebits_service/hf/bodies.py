"""The JSON that Hugging Face clients parse.

Every file is shown as an LFS file: its id is the SHA-256 of its bytes, which is what the hub has of all files. The
``oid`` beside it is that of the pointer that git would hold in its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from ..blobs.git import git_blob_id
from ..models import Blob, Commit, Repo
from ..xet.offers import file_name

Json = dict[str, Any]


def moment(at: datetime) -> str:
    """A moment as JavaScript writes it."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def pointer(sha256: str, nbytes: int) -> bytes:
    """The text of a git-lfs pointer (version 1 of its specification)."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {nbytes}\n".encode()


def file_entry(path: str, file: Blob, *, by_xet: bool) -> Json:
    """A file in a listing of a tree; `by_xet` says to clients that they are to download it so."""
    text = pointer(file.sha256, file.nbytes)
    lfs = {"oid": file.sha256, "size": file.nbytes, "pointerSize": len(text)}
    entry = {"type": "file", "oid": git_blob_id(text), "size": file.nbytes, "path": path, "lfs": lfs}
    return {**entry, "xetHash": file_name(file)} if by_xet else entry


def folder_entry(path: str, commit: str) -> Json:
    """A folder in a listing of a tree; trees are not objects here, so its id is made of its name."""
    made_up = hashlib.sha1(f"{commit}/{path}".encode(), usedforsecurity=False).hexdigest()
    return {"type": "directory", "oid": made_up, "size": 0, "path": path}


def sibling(path: str, blob: Blob, *, with_sizes: bool) -> Json:
    """A file in the description of a repo; here the digest is called ``sha256`` and not ``oid``."""
    if not with_sizes:
        return {"rfilename": path}
    text = pointer(blob.sha256, blob.nbytes)
    lfs = {"sha256": blob.sha256, "size": blob.nbytes, "pointerSize": len(text)}
    return {"rfilename": path, "size": blob.nbytes, "blobId": git_blob_id(text), "lfs": lfs}


def repo_facts(repo: Repo, commit: Commit | None) -> Json:
    """A repo in a list. Nobody counts downloads and likes here."""
    changed = commit.created_at if commit else repo.created_at
    named = {"modelId": repo.full_name} if repo.kind == "model" else {}
    return {
        "_id": f"{repo.id:024x}",
        "id": repo.full_name,
        **named,
        "author": repo.namespace,
        "sha": commit.digest if commit else None,
        "createdAt": moment(repo.created_at),
        "lastModified": moment(changed),
        "private": repo.visibility == "private",
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
    }


def history_entry(commit: Commit) -> Json:
    """A commit in a history."""
    return {
        "id": commit.digest,
        "title": commit.message,
        "message": commit.description,
        "date": moment(commit.created_at),
        "authors": [{"user": commit.author}],
    }


def refs_body(refs: Iterable[tuple[str, str, str]], *, with_pull_requests: bool) -> Json:
    """Branches and tags, each ``(kind, name, commit)``; there are no pull requests."""
    listed: Json = {"branches": [], "converts": [], "tags": []}
    for kind, name, commit in refs:
        group, prefix = ("branches", "heads") if kind == "branch" else ("tags", "tags")
        listed[group].append({"name": name, "ref": f"refs/{prefix}/{name}", "targetCommit": commit})
    return {**listed, "pullRequests": []} if with_pull_requests else listed
