"""Repos of the upstream that go by one name, like ``gpt2``: readers are led to the full one, as the upstream does it.

Repos of this hub always have two names, so no path here is one of theirs.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import Path as PathParameter
from fastapi import Request, Response

from ..errors import RepoNotFound
from ..hf.addresses import FILES, KINDS_API, Kind
from ..routers import hf_router
from .lookups import Mirror

_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}$"
ShortName = Annotated[str, PathParameter(pattern=_NAME)]

api = hf_router(KINDS_API)
downloads = hf_router(FILES)


@api.get("/{name}")
@api.get("/{name}/revision/{rest:path}")
@api.get("/{name}/tree/{rest:path}")
@api.post("/{name}/paths-info/{rest:path}")
@downloads.get("{name}/resolve/{rest:path}")
@downloads.head("{name}/resolve/{rest:path}")
async def lead_on(name: ShortName, request: Request, kind: Kind) -> Response:
    """The same path with the full name."""
    mirror: Mirror | None = request.app.state.mirror
    if mirror is None:
        raise RepoNotFound(name)
    full_name = await mirror.full_names.of(kind, name)
    before, _, behind = request.scope["path"].partition(f"/{name}")
    query = f"?{request.url.query}" if request.url.query else ""
    # Without a host: clients take redirects of a HEAD for an answer when they lead to another one.
    return Response(status_code=307, headers={"Location": f"{before}/{quote(full_name)}{behind}{query}"})
