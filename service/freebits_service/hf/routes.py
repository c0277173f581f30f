"""Where the endpoints for Hugging Face clients lie."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter

from ..mirror import short_names
from ..xet import download_endpoints as xet_downloads
from ..xet import endpoints as xet
from ..xet import xorb_endpoints as xorbs
from . import files, lfs, missing, refs, repos, uploads

ROUTERS: Sequence[APIRouter] = (
    repos.accounts,
    uploads.checks,
    uploads.router,
    xet.tokens,
    repos.router,
    refs.router,
    files.router,
    short_names.api,
    missing.router,
    lfs.transfers,
    xet.router,
    xorbs.router,
    xet_downloads.router,
    lfs.batches,
    files.downloads,
    short_names.downloads,
)
"""In the order in which they are asked; what is more special comes first."""
