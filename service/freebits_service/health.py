"""``/healthz`` (the process answers), ``/readyz`` (it can serve) and ``/metrics``."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from sqlalchemy import select

from . import metrics
from .http_context import HubDep
from .models import Repo

router = APIRouter(tags=["health"])


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """The process is there."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(hub: HubDep) -> JSONResponse:
    """The database and the store answer and there is room; 503 otherwise."""
    hub.store.check()
    with hub.db.snapshot() as session:
        session.execute(select(Repo.id).limit(1))
    free = hub.store.free_nbytes()
    has_room = free is None or free >= hub.settings.min_free_nbytes
    return JSONResponse(
        {"status": "ok" if has_room else "no room", "free_nbytes": free},
        status_code=200 if has_room else 503,
    )


@router.get("/metrics")
def read_metrics(request: Request) -> Response:
    """Prometheus text format."""
    registry: CollectorRegistry = request.app.state.metrics
    return Response(generate_latest(metrics.PROCESS) + generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
