"""``/healthz`` (the process answers), ``/readyz`` (it can serve) and ``/metrics``; none waits for what may hang."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from . import metrics
from .readiness import Readiness
from .routers import rest_router
from .samples.operations import Samples

router = rest_router("health", prefix="")


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process is there, whatever became of database and store."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "down, or being stopped"}})
async def readyz(request: Request) -> JSONResponse:
    """Whether requests can be served, and if not, which dependency is down; 503 also while being stopped."""
    readiness: Readiness = request.app.state.readiness
    checks = await readiness.findings()
    is_up = all(check["status"] == "ok" for check in checks.values())
    is_stopping = request.app.state.draining.is_set()
    status = "stopping" if is_stopping else "ok" if is_up else "down"
    return JSONResponse({"status": status, "checks": checks}, status_code=200 if status == "ok" else 503)


@router.get("/metrics")
async def read_metrics(request: Request) -> Response:
    """Prometheus text format: counters of this process, and what was last sampled of the whole hub."""
    samples: Samples = request.app.state.samples
    await samples.refresh()
    registry = CollectorRegistry()
    registry.register(samples)
    return Response(generate_latest(metrics.PROCESS) + generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
