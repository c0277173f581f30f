"""Routers that know where they lie.

Each has its whole prefix from the start: a route that FastAPI includes into another router it makes a second time, and
finds in two steps at every request.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends, params

from .mirror.reading import bring_first
from .schemas import ErrorBody

API_PREFIX = "/api/v1"


def rest_router(tag: str, prefix: str = API_PREFIX, *, reads_repos: bool = False) -> APIRouter:
    """For a feature of the REST API; `reads_repos`: what it reads may lie upstream."""
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        responses={"default": {"model": ErrorBody}},
        dependencies=_dependencies(reads_repos=reads_repos),
    )


def hf_router(prefix: str, *, reads_repos: bool = False) -> APIRouter:
    """For what Hugging Face clients ask; `reads_repos`: what it reads may lie upstream."""
    return APIRouter(prefix=prefix, include_in_schema=False, dependencies=_dependencies(reads_repos=reads_repos))


def _dependencies(*, reads_repos: bool) -> list[params.Depends]:
    return [Depends(bring_first)] if reads_repos else []
