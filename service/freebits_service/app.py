"""The ASGI app: routers, error handlers, middleware and what lives as long as the app does. No logic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress

import structlog
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from . import health, http_errors
from .accounts import endpoints as accounts
from .commits import endpoints as commits
from .context import Hub, open_hub
from .downloads import endpoints as downloads
from .downloads.leases import FLUSH_S, OpenBlobs
from .downloads.pace import ReadAheadBudget
from .errors import ServiceError
from .jobs import endpoints as jobs
from .metrics import DatabaseCollector
from .middleware import LimitJson, Observe, RoutePath
from .repos import endpoints as repos
from .schemas import ErrorBody
from .settings import Settings
from .tensors import endpoints as tensors
from .uploads import endpoints as uploads

PREFIX = "/api/v1"
READER_THREADS = 16  # each has a window at work beside what `read_ahead_nbytes` counts
WRITER_THREADS = 32  # they wait for disks and stores, so their number has nothing to do with that of the cores


def create_app(settings: Settings, hub: Hub | None = None) -> FastAPI:
    """The hub's app; `hub` replaces what the settings would open. The database must be migrated."""
    app = FastAPI(
        title="freebits hub",
        version="1",
        lifespan=_lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
        responses={"default": {"model": ErrorBody}},
    )
    app.state.hub = hub or open_hub(settings)
    app.state.open_blobs = OpenBlobs()
    app.state.read_ahead = ReadAheadBudget(settings.read_ahead_nbytes)
    app.state.readers = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="reader")
    app.state.writers = ThreadPoolExecutor(WRITER_THREADS, thread_name_prefix="writer")
    app.state.metrics = CollectorRegistry()
    app.state.metrics.register(DatabaseCollector(app.state.hub.db))
    app.include_router(health.router)
    for feature in (accounts, repos, commits, uploads, downloads, tensors, jobs):
        app.include_router(feature.router, prefix=PREFIX)
    http_errors.install(app)
    app.add_middleware(RoutePath)
    app.add_middleware(LimitJson, max_nbytes=settings.max_json_nbytes)
    app.add_middleware(Observe)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    asyncio.get_running_loop().set_default_executor(app.state.writers)
    flushing = asyncio.create_task(_keep_leases(app.state.open_blobs, app.state.hub))
    try:
        yield
    finally:
        flushing.cancel()
        with suppress(asyncio.CancelledError):
            await flushing
        app.state.readers.shutdown(wait=False, cancel_futures=True)


async def _keep_leases(open_blobs: OpenBlobs, hub: Hub) -> None:
    while True:
        await asyncio.sleep(FLUSH_S)
        try:
            await run_in_threadpool(open_blobs.extend_leases, hub.db)
        except (SQLAlchemyError, ServiceError) as error:
            structlog.get_logger().warning("leases were not extended; tried again", error=str(error))
