"""Kinds of repos in the paths of Hugging Face clients, and the addresses that answers give back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Request
from starlette.convertors import StringConvertor, register_url_convertor

from ..context import Hub
from ..settings import MIB

MAX_COMMIT_NBYTES = 256 * MIB  # of the text of a commit; clients send up to 100 MB of files as base64 at once
KINDS: Mapping[str, str] = {"models": "model", "datasets": "dataset", "spaces": "space"}  # as in paths, as in rows
FOLDERS = {"model": "", "dataset": "datasets/", "space": "spaces/"}


class _KindsConvertor(StringConvertor):
    regex = "|".join(KINDS)


class _FolderConvertor(StringConvertor):
    # Possessive: no namespace is called like a folder, so a path that begins with one is about what follows.
    regex = f"(?:{'|'.join(filter(None, FOLDERS.values()))})?+"


register_url_convertor("kinds", _KindsConvertor())
register_url_convertor("folder", _FolderConvertor())

KINDS_API = "/api/{kinds:kinds}"
REPO_API = KINDS_API + "/{namespace}/{name}"
FILES = "/{folder:folder}"  # a repo's files lie behind it
REPO_FILES = FILES + "{namespace}/{name}"


def kind_of(request: Request) -> str:
    """The kind that a path is about: ``/api/datasets/...`` and ``/datasets/...``, a model where none is named."""
    first, _, rest = request.scope["path"].lstrip("/").partition("/")
    return KINDS.get(rest.partition("/")[0] if first == "api" else first, "model")


Kind = Annotated[str, Depends(kind_of)]


_COMMIT = re.compile(rf"/api/({'|'.join(KINDS)})/[^/]+/[^/]+/commit/[^/]+")


def is_commit(path: str) -> bool:
    """Whether a commit is sent to this path."""
    return _COMMIT.fullmatch(path) is not None


def base_of(request: Request) -> str:
    """Where clients reach the hub, without a slash at the end: as the settings say, or as this one did."""
    hub = request.app.state.hub
    assert isinstance(hub, Hub)
    return (hub.settings.public_url or str(request.base_url)).rstrip("/")


def repo_url(request: Request, kind: str, full_name: str) -> str:
    """The address of a repo, from which clients take its name."""
    return f"{base_of(request)}/{FOLDERS[kind]}{full_name}"


def api_url(request: Request, kind: str, full_name: str) -> str:
    """Where the API for a repo begins."""
    return f"{base_of(request)}/api/{kind}s/{full_name}"


def commit_url(request: Request, kind: str, full_name: str, commit: str) -> str:
    """The address of a commit, from which clients take its id."""
    return f"{repo_url(request, kind, full_name)}/commit/{commit}"


def next_page(request: Request, cursor: str) -> str:
    """The ``Link`` header that leads to the page behind `cursor`."""
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in [*kept, ("cursor", cursor)])
    return f'<{base_of(request)}{request.scope["path"]}?{query}>; rel="next"'
