"""Where the endpoints for Hugging Face clients lie."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from ..mirror import short_names
from ..mirror.reading import bring_first
from ..xet import download_endpoints as xet_downloads
from ..xet import endpoints as xet
from ..xet import xorb_endpoints as xorbs
from . import files, lfs, missing, refs, repos, uploads
from .addresses import KINDS


def include(table: APIRouter) -> None:
    """Add them behind the routes that are there: no path of the REST API is taken over."""
    table.include_router(repos.accounts)
    table.include_router(uploads.checks)
    for kinds in KINDS:
        for router in (uploads.router, xet.tokens):
            table.include_router(router, prefix=f"/api/{kinds}")
        for router in (repos.router, refs.router, files.router):
            table.include_router(router, prefix=f"/api/{kinds}", dependencies=[Depends(bring_first)])
        table.include_router(short_names.api, prefix=f"/api/{kinds}")
    table.include_router(missing.router)
    table.include_router(lfs.transfers)
    table.include_router(xet.router)
    table.include_router(xorbs.router)
    table.include_router(xet_downloads.router)
    for prefix in ("/datasets", "/spaces", ""):
        table.include_router(lfs.batches, prefix=prefix)
        table.include_router(files.downloads, prefix=prefix, dependencies=[Depends(bring_first)])
        table.include_router(short_names.downloads, prefix=prefix)
