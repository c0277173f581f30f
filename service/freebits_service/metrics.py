"""Prometheus metrics: counters of this process, and gauges read from the database when asked."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from .db import Database
from .models import Blob, Job, Upload

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
SENT = Counter("freebits_http_sent_bytes", "Bytes of answers.", registry=PROCESS)
RECEIVED = Counter("freebits_upload_received_bytes", "Bytes of upload parts that were kept.", registry=PROCESS)

KEPT_S = 5.0


class DatabaseCollector:
    """Reads the state of the whole hub; asked more often than every few seconds it repeats itself."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._read_at = float("-inf")
        self._kept: list[Metric] = []

    def collect(self) -> Iterator[Metric]:
        """The gauges of now, or of a few seconds ago."""
        if time.monotonic() - self._read_at > KEPT_S:
            with self._db.snapshot() as session:
                self._kept = [*_blobs(session), *_jobs(session), _uploads(session)]
            self._read_at = time.monotonic()
        yield from self._kept


def _blobs(session: Session) -> Iterator[Metric]:
    count = GaugeMetricFamily("freebits_blobs", "Blobs by state.", labels=["state"])
    logical = GaugeMetricFamily("freebits_blob_logical_bytes", "Bytes of the original files.", labels=["state"])
    stored = GaugeMetricFamily("freebits_blob_stored_bytes", "Bytes of the objects served.", labels=["state"])
    totals = dict.fromkeys(("raw", "encoding", "encoded"), (0, 0, 0))
    rows = session.execute(
        select(
            Blob.state,
            func.count(),
            func.sum(Blob.nbytes),
            func.sum(func.coalesce(Blob.container_nbytes, Blob.nbytes)),
        ).group_by(Blob.state)
    )
    totals.update((state, (blobs, int(nbytes), int(kept))) for state, blobs, nbytes, kept in rows)
    for state, (blobs, nbytes, kept) in totals.items():
        count.add_metric([state], blobs)
        logical.add_metric([state], nbytes)
        stored.add_metric([state], kept)
    saved = sum(nbytes - kept for _, nbytes, kept in totals.values())
    yield from (count, logical, stored)
    yield GaugeMetricFamily("freebits_saved_bytes", "Bytes the store does not hold thanks to encoding.", value=saved)


def _jobs(session: Session) -> Iterator[Metric]:
    jobs = GaugeMetricFamily(
        "freebits_jobs", "Jobs by state; queued ones are the depth of the queue.", labels=["state"]
    )
    totals = dict.fromkeys(("queued", "running", "done", "parked", "cancelled"), 0)
    totals.update(
        (state, number) for state, number in session.execute(select(Job.state, func.count()).group_by(Job.state))
    )
    for state, number in totals.items():
        jobs.add_metric([state], number)
    encodings, seconds = session.execute(select(func.count(Job.encode_s), func.sum(Job.encode_s))).one()
    yield jobs
    yield CounterMetricFamily("freebits_encodings", "Encodings finished.", value=encodings)
    yield CounterMetricFamily("freebits_encode_seconds", "Time spent encoding.", value=float(seconds or 0))


def _uploads(session: Session) -> Metric:
    receiving = session.scalar(select(func.count()).select_from(Upload).where(Upload.state == "receiving"))
    return GaugeMetricFamily("freebits_uploads_receiving", "Uploads that are not complete.", value=receiving or 0)
