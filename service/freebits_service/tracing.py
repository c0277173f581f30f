"""The only module that knows OpenTelemetry; ``telemetry.py`` imports it when traces are wanted (extra ``otel``)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sqlalchemy import Engine

PROBES = "healthz,readyz,metrics"
_PARENT = "traceparent"
_propagator = TraceContextTextMapPropagator()


def start(endpoint: str, service_name: str, engine: Engine, app: FastAPI | None) -> None:
    """Send spans to the collector; without `endpoint` OpenTelemetry's variables say where it is."""
    resource = Resource.create({SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME") or service_name})
    provider = TracerProvider(resource=resource)
    url = f"{endpoint.rstrip('/')}/v1/traces" if endpoint else None
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
    trace.set_tracer_provider(provider)
    # It declines SQLAlchemy 2.1 by its number alone; what it listens to is the same there, and tested.
    SQLAlchemyInstrumentor().instrument(engine=engine, skip_dep_check=True)
    BotocoreInstrumentor().instrument()  # type: ignore[no-untyped-call]
    if app is not None:
        FastAPIInstrumentor.instrument_app(app, excluded_urls=PROBES, exclude_spans=["send", "receive"])


def stop() -> None:
    """Send what has not been sent."""
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    provider.shutdown()


def trace_parent() -> str | None:
    """The running trace as W3C's header has it."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get(_PARENT)


@contextmanager
def span(name: str, parent: str | None, attributes: Mapping[str, str | int]) -> Iterator[None]:
    """A span of the trace `parent`, or of a new one."""
    context = _propagator.extract({_PARENT: parent}) if parent else None
    with trace.get_tracer("freebits").start_as_current_span(name, context=context, attributes=attributes):
        yield
