"""Where the endpoints for Hugging Face clients lie."""

from __future__ import annotations

from fastapi import Depends, FastAPI

from ..mirror import short_names
from ..mirror.reading import bring_first
from ..xet import download_endpoints as xet_downloads
from ..xet import endpoints as xet
from ..xet import xorb_endpoints as xorbs
from . import files, lfs, missing, refs, repos, uploads
from .addresses import KINDS


def install(app: FastAPI) -> None:
    """Add them to the app, behind the routes that it has: no path of the REST API is taken over."""
    app.include_router(repos.accounts)
    app.include_router(uploads.checks)
    for kinds in KINDS:
        for router in (uploads.router, xet.tokens):
            app.include_router(router, prefix=f"/api/{kinds}")
        for router in (repos.router, refs.router, files.router):
            app.include_router(router, prefix=f"/api/{kinds}", dependencies=[Depends(bring_first)])
        app.include_router(short_names.api, prefix=f"/api/{kinds}")
    app.include_router(missing.router)
    app.include_router(lfs.transfers)
    app.include_router(xet.router)
    app.include_router(xorbs.router)
    app.include_router(xet_downloads.router)
    for prefix in ("/datasets", "/spaces", ""):
        app.include_router(lfs.batches, prefix=prefix)
        app.include_router(files.downloads, prefix=prefix, dependencies=[Depends(bring_first)])
        app.include_router(short_names.downloads, prefix=prefix)
