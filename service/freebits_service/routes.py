"""Where every endpoint lies: health, the REST API, and what Hugging Face clients ask for."""

from __future__ import annotations

from starlette.routing import BaseRoute

from . import health
from .accounts import endpoints as accounts
from .audit import endpoints as audit
from .commits import endpoints as commits
from .downloads import endpoints as downloads
from .hf.routes import ROUTERS as HF_ROUTERS
from .jobs import endpoints as jobs
from .oidc import endpoints as oidc
from .orgs import endpoints as orgs
from .quotas import endpoints as quotas
from .repos import endpoints as repos
from .tensors import endpoints as tensors
from .uploads import endpoints as uploads
from .variants import endpoints as variants

_FEATURES = (accounts, oidc, orgs, quotas, audit, uploads, jobs, repos, commits, downloads, tensors, variants)


def all_routes() -> list[BaseRoute]:
    """In the order in which they are asked: no path of the REST API is taken over. The same for every app."""
    routers = [health.router, *(feature.router for feature in _FEATURES), *HF_ROUTERS]
    return [route for router in routers for route in router.routes]
