"""What the Hugging Face Hub has and this hub has not: 501, and the name of what is missing."""

from __future__ import annotations

from fastapi import APIRouter, Request

from ..errors import NotOffered

router = APIRouter(include_in_schema=False)
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


def _refuse(feature: str) -> None:
    async def refuse(request: Request) -> None:
        raise NotOffered(feature)

    for path in [path for path, what in _FEATURES.items() if what == feature]:
        router.add_api_route(path, refuse, methods=_METHODS)
        router.add_api_route(path + "/{rest:path}", refuse, methods=_METHODS)


for _feature in dict.fromkeys(_FEATURES.values()):
    _refuse(_feature)
