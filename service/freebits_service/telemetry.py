"""OpenTelemetry traces, if somebody wants them: ``otel_endpoint`` or OpenTelemetry's own variables name a collector.

Otherwise nothing of OpenTelemetry is imported, and what is below does nothing. A job carries the trace of the
request that asked for it, as a W3C ``traceparent``, so that encoding shows up under the push.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

from .context import Hub
from .settings import InvalidSettings, Settings

if TYPE_CHECKING:  # workers serve nothing
    from fastapi import FastAPI

_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_tracing: ModuleType | None = None


def configure(settings: Settings, service_name: str, hub: Hub, app: FastAPI | None = None) -> None:
    """Trace this process's requests, statements and store calls, if a collector is named.

    Raises
    ------
    InvalidSettings
        A collector is named, and the packages that talk to it are not installed.
    """
    global _tracing  # noqa: PLW0603 - one per process, like OpenTelemetry's own provider
    if not settings.otel_endpoint and not any(os.environ.get(name) for name in _VARIABLES):
        return
    try:
        from . import tracing  # noqa: PLC0415 - only who traces pays for the import
    except ImportError as error:
        raise InvalidSettings(
            f"traces are asked for (otel_endpoint or {_VARIABLES[1]}), but {error.name} is not installed: "
            "pip install 'freebits[service,otel]'"
        ) from None
    tracing.start(settings.otel_endpoint, service_name, hub.db.engine, app)
    _tracing = tracing


def stop() -> None:
    """Send what has not been sent; call before the process ends."""
    if _tracing is not None:
        _tracing.stop()


def trace_parent() -> str | None:
    """The running trace as a ``traceparent``; None when nothing is traced."""
    parent: str | None = _tracing.trace_parent() if _tracing is not None else None
    return parent


@contextmanager
def span(name: str, parent: str | None = None, **attributes: str | int) -> Iterator[None]:
    """Trace a block as part of the trace `parent`, or of a new one; an error is noted and passes."""
    if _tracing is None:
        yield
        return
    with _tracing.span(name, parent, attributes):
        yield
