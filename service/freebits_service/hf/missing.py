"""What the Hugging Face Hub has and this hub has not: 501, and the name of what is missing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..errors import NotOffered
from ..routers import hf_router

router = hf_router("")
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_FEATURES = {
    "/api/{kinds}/{namespace}/{name}/discussions": "discussions and pull requests",
    "/api/{kinds}/{namespace}/{name}/super-squash": "squashing of history",
    "/api/{kinds}/{namespace}/{name}/lfs-files": "the listing and removal of LFS files (`freebits gc` collects)",
    "/api/{kinds}/{namespace}/{name}/like": "likes",
    "/api/{kinds}/{namespace}/{name}/scan": "malware scans",
    "/api/{kinds}/{namespace}/{name}/secrets": "secrets of spaces",
    "/api/{kinds}/{namespace}/{name}/variables": "variables of spaces",
    "/api/settings/webhooks": "webhooks",
    "/api/collections": "collections",
    "/api/discussions": "discussions and pull requests",
    "/api/kernels": "repos of kernels",
    "/api/buckets": "buckets",
    "/api/jobs": "jobs that run code (`freebits jobs` lists those of the hub)",
    "/api/users/{name}/overview": "user profiles",
    "/api/organizations": "organization profiles (see `freebits admin org`)",
    "/oauth": "logins by device code (use `hf auth login --token`, or `freebits login --oidc`)",
}


def refuse_pull_requests(create_pr: str = "") -> None:
    """A dependency of what can be asked for as a pull request; raises NotOffered."""
    if create_pr in {"1", "true", "True"}:
        raise NotOffered("pull requests; commit to a branch instead (`--revision NAME`)")


def _refusal(feature: str) -> Callable[[], Awaitable[None]]:
    async def refuse() -> None:
        raise NotOffered(feature)

    return refuse


for _path, _feature in _FEATURES.items():
    for _each in (_path, _path + "/{rest:path}"):
        router.add_api_route(_each, _refusal(_feature), methods=_METHODS)
