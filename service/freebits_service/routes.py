"""Where every endpoint lies: the REST API, health, and what Hugging Face clients ask for."""

from __future__ import annotations

from functools import cache

from fastapi import APIRouter, Depends
from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute

from . import health
from .accounts import endpoints as accounts
from .audit import endpoints as audit
from .commits import endpoints as commits
from .downloads import endpoints as downloads
from .hf import routes as hf
from .jobs import endpoints as jobs
from .mirror.reading import bring_first
from .oidc import endpoints as oidc
from .orgs import endpoints as orgs
from .quotas import endpoints as quotas
from .repos import endpoints as repos
from .schemas import ErrorBody
from .tensors import endpoints as tensors
from .uploads import endpoints as uploads
from .variants import endpoints as variants

API_PREFIX = "/api/v1"


@cache
def all_routes() -> list[BaseRoute]:
    """Ready to match and to call, the same for every app of a process.

    FastAPI makes the routes of an included router when it first looks for one among them: a tenth of a second that the
    first request would wait for.
    """
    table = APIRouter(responses={"default": {"model": ErrorBody}})
    table.include_router(health.router)
    for feature in (accounts, oidc, orgs, quotas, audit, uploads, jobs):
        table.include_router(feature.router, prefix=API_PREFIX)
    for feature in (repos, commits, downloads, tensors, variants):
        table.include_router(feature.router, prefix=API_PREFIX, dependencies=[Depends(bring_first)])
    hf.include(table)
    for _ in iter_route_contexts(table.routes):
        pass
    return table.routes
