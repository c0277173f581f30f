"""Prometheus metrics that a process counts itself. What describes the whole hub is sampled: see ``samples/``."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]
PROCESS = CollectorRegistry()
REQUESTS = Counter("freebits_http_requests", "Requests answered.", ("method", "route", "status"), registry=PROCESS)
LATENCY = Histogram(
    "freebits_http_request_seconds",
    "Time from the request to the end of the answer.",
    ("method", "route"),
    buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300),
    registry=PROCESS,
)
RUNNING = Gauge("freebits_http_requests_running", "Requests being answered now.", registry=PROCESS)
SENT = Counter("freebits_http_sent_bytes", "Bytes of answers.", registry=PROCESS)
RECEIVED = Counter("freebits_upload_received_bytes", "Bytes of upload parts that were kept.", registry=PROCESS)

LOOKUPS = Counter("freebits_upstream_lookups", "Revisions looked up on the upstream.", ("outcome",), registry=PROCESS)
FETCHES = Counter("freebits_upstream_fetches", "Files fetched from the upstream.", ("outcome",), registry=PROCESS)
FETCHED = Counter("freebits_upstream_received_bytes", "Bytes of files that the upstream sent.", registry=PROCESS)

EXPANSIONS = Counter(
    "freebits_expansions", "Files expanded from a symmetric form for readers.", ("outcome",), registry=PROCESS
)
EXPANDED = Counter("freebits_expanded_bytes", "Bytes of files that were expanded for readers.", registry=PROCESS)

_FAST_TO_SLOW = (0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60)
DATABASE_SECONDS = Histogram(
    "freebits_database_seconds", "Time of a statement.", ("operation",), buckets=_FAST_TO_SLOW, registry=PROCESS
)
DATABASE_ERRORS = Counter("freebits_database_errors", "Statements that failed.", ("kind",), registry=PROCESS)
STORE_SECONDS = Histogram(
    "freebits_store_seconds", "Time of a call to the store.", ("operation",), buckets=_FAST_TO_SLOW, registry=PROCESS
)
STORE_ERRORS = Counter(
    "freebits_store_errors", "Calls to the store that failed.", ("operation", "kind"), registry=PROCESS
)

ENCODED_FILES = Counter("freebits_worker_encodings", "Encodings this worker finished.", registry=PROCESS)
ENCODED_BYTES = Counter("freebits_worker_encode_bytes", "Bytes of the files this worker encoded.", registry=PROCESS)
ENCODE_SECONDS = Counter("freebits_worker_encode_seconds", "Time this worker spent encoding.", registry=PROCESS)
FAILED_ATTEMPTS = Counter(
    "freebits_worker_failures", "Attempts of this worker that failed.", ("kind",), registry=PROCESS
)
