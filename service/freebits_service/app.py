"""The ASGI app: routes, error handlers, middleware and what lives as long as the app does. No logic."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress

import structlog
from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from . import http_errors
from .accounts.grants import Grants
from .accounts.last_use import FLUSH_S as LAST_USE_FLUSH_S
from .accounts.last_use import LastUse
from .context import Hub, open_hub
from .db import Database
from .downloads.leases import FLUSH_S, OpenBlobs
from .downloads.pace import ReadAheadBudget
from .errors import ServiceError
from .expansions.operations import Expansions
from .middleware import LimitJson, Observe, RoutePath
from .mirror.lookups import Mirror
from .oidc.issuer import Issuer
from .rates.limits import RateLimits
from .rates.middleware import LimitRates
from .readiness import Readiness
from .routers import API_PREFIX
from .routes import all_routes
from .samples.operations import Samples
from .settings import Settings
from .xet.packing import Packing

READER_THREADS = 16  # each has a window at work beside what `read_ahead_nbytes` counts
REGISTRAR_THREADS = 4  # they make files of what arrived by Xet, each two at once, with some MiB at hand
WRITER_THREADS = 32  # they wait for disks and stores, so their number has nothing to do with that of the cores
OBSERVING_CONNECTIONS = 3  # two that readiness asks through, one for samples


def create_app(settings: Settings, hub: Hub | None = None) -> FastAPI:
    """The hub's app; `hub` replaces what the settings would open. The database must be migrated."""
    app = FastAPI(
        title="freebits hub",
        version="1",
        lifespan=_lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{API_PREFIX}/openapi.json",
    )
    app.state.hub = hub or open_hub(settings)
    app.state.open_blobs = OpenBlobs()
    app.state.rate_limits = RateLimits(settings)
    app.state.last_use = LastUse()
    app.state.grants = Grants(app.state.hub.db)
    app.state.oidc_issuer = Issuer(settings) if settings.oidc_issuer else None
    app.state.read_ahead = ReadAheadBudget(settings.read_ahead_nbytes)
    app.state.readers = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="reader")
    app.state.packing = Packing(settings.xet_packing_percent)
    app.state.writers = ThreadPoolExecutor(WRITER_THREADS, thread_name_prefix="writer")
    app.state.registrars = ThreadPoolExecutor(REGISTRAR_THREADS, thread_name_prefix="registrar")
    app.state.observing = Database(app.state.hub.settings.sqlalchemy_url, connections=OBSERVING_CONNECTIONS)
    app.state.readiness = Readiness(app.state.hub, app.state.observing)
    app.state.samples = Samples(app.state.observing, settings.statistics_interval_s)
    app.state.mirror = Mirror(app.state.hub) if settings.upstream else None
    app.state.expansions = Expansions(app.state.hub, app.state.open_blobs)
    app.state.draining = threading.Event()
    app.router.routes += all_routes()
    http_errors.install(app)
    app.add_middleware(RoutePath)
    app.add_middleware(LimitJson, max_nbytes=settings.max_json_nbytes)
    app.add_middleware(LimitRates, limits=app.state.rate_limits)
    app.add_middleware(Observe, draining=app.state.draining)
    if settings.forwarded_allow:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=settings.forwarded_allow)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    asyncio.get_running_loop().set_default_executor(app.state.writers)
    hub, last_use = app.state.hub, app.state.last_use
    rhythms = [
        asyncio.create_task(_repeat(FLUSH_S, "leases", lambda: app.state.open_blobs.extend_leases(hub.db))),
        asyncio.create_task(_repeat(LAST_USE_FLUSH_S, "last use of tokens", lambda: last_use.flush(hub.db))),
    ]
    try:
        yield
    finally:
        for rhythm in rhythms:
            rhythm.cancel()
            with suppress(asyncio.CancelledError):
                await rhythm
        await run_in_threadpool(_logged, "last use of tokens", lambda: last_use.flush(hub.db))
        if app.state.mirror is not None:
            await app.state.mirror.close()
        await app.state.expansions.close()
        app.state.readers.shutdown(wait=False, cancel_futures=True)
        app.state.registrars.shutdown(wait=False, cancel_futures=True)
        app.state.observing.close()


async def _repeat(every_s: float, what: str, action: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(every_s)
        await run_in_threadpool(_logged, what, action)


def _logged(what: str, action: Callable[[], None]) -> None:
    try:
        action()
    except (SQLAlchemyError, ServiceError) as error:
        structlog.get_logger().warning("could not be written down", what=what, error=str(error))
