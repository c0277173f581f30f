"""Sample the whole hub, cheaply however large it is and however many replicas are scraped.

Summing ten million blobs takes seconds, so nobody does it per scrape. What such counts found is a row of the
table ``sample``. A scrape reads these rows; if one is due, this process claims it, so that one process of all
takes it once per interval:

    queues     every `QUEUE_INTERVAL_S`; costs what is pending
    content    every `statistics_interval_s` (300 s); costs one pass over blobs and jobs

Sampling was preferred to running totals: those are a hot row of every commit and drift with every repair by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from .. import models
from ..clock import now
from ..db import Database
from ..errors import ServiceError
from ..single_flight import SingleFlight
from . import queries

QUEUE_INTERVAL_S = 10.0
WAIT_S = 2.0  # for a new sample; a scrape that would take longer gets the one before
log = structlog.get_logger()
Counted = dict[str, Any]


class Samples(Collector):
    """The samples as metrics. Every replica shows the same numbers: take their ``max``, not their ``sum``."""

    def __init__(self, db: Database, content_interval_s: float) -> None:
        self._db = db
        self._intervals: dict[str, tuple[float, Callable[[Session], Counted]]] = {
            "queues": (QUEUE_INTERVAL_S, queries.count_queues),
            "content": (content_interval_s, queries.count_content),
        }
        self._taken: dict[str, tuple[datetime, Counted]] = {}
        self._refreshing = SingleFlight("samples", self._refresh)

    async def refresh(self) -> None:
        """Read what was sampled, and take what is due; a database that is slow or down leaves the numbers old."""
        try:
            await self._refreshing.result(WAIT_S)
        except TimeoutError:
            log.debug("sampling goes on in the background")
        except (SQLAlchemyError, ServiceError) as error:
            log.warning("the hub was not sampled; tried again at the next scrape", error=str(error)[:500])

    def collect(self) -> Iterator[Metric]:
        """The samples last read."""
        age = GaugeMetricFamily("freebits_sample_age_seconds", "Time since a sample was taken.", labels=["sample"])
        for name, (taken_at, _) in self._taken.items():
            age.add_metric([name], (now() - taken_at).total_seconds())
        yield age
        if "queues" in self._taken:
            yield from _queues(self._taken["queues"][1])
        if "content" in self._taken:
            yield from _content(self._taken["content"][1])

    def _refresh(self) -> None:
        taken = [self._take(row.name) for row in self._read() if row.due_at <= now()]
        if any(taken):
            self._read()

    def _read(self) -> list[models.Sample]:
        with self._db.snapshot() as session:
            rows = queries.read_samples(session)
        self._taken = {row.name: (row.taken_at, row.value) for row in rows if row.taken_at is not None}
        return [row for row in rows if row.name in self._intervals]

    def _take(self, name: str) -> bool:
        interval_s, count = self._intervals[name]
        with self._db.transaction() as session:
            if not queries.claim(session, name, interval_s):
                return False
        with self._db.snapshot() as session:
            value = count(session)
        with self._db.transaction() as session:
            queries.keep(session, name, value)
        return True


def _queues(sample: Counted) -> Iterator[Metric]:
    labels = ["queue", "priority"]
    depth = GaugeMetricFamily("freebits_queue_jobs", "Jobs that wait, by queue and priority.", labels=labels)
    age = GaugeMetricFamily(
        "freebits_queue_oldest_seconds", "How long the longest waiting job has been due.", labels=labels
    )
    for queue, priority, jobs, oldest in sample["queues"]:
        depth.add_metric([queue, str(priority)], jobs)
        age.add_metric([queue, str(priority)], max(0.0, now().timestamp() - oldest))
    yield depth
    yield age
    unfinished = GaugeMetricFamily("freebits_jobs", "Jobs that are not over, by state.", labels=["state"])
    for state in ("queued", "running", "parked"):
        unfinished.add_metric([state], sample["jobs"].get(state, 0))
    yield unfinished


def _content(sample: Counted) -> Iterator[Metric]:
    count = GaugeMetricFamily("freebits_blobs", "Blobs by state.", labels=["state"])
    logical = GaugeMetricFamily("freebits_blob_logical_bytes", "Bytes of the original files.", labels=["state"])
    stored = GaugeMetricFamily("freebits_blob_stored_bytes", "Bytes of the objects served.", labels=["state"])
    saved = 0
    for state in ("raw", "encoding", "encoded", "remote"):
        blobs, nbytes, kept = sample["blobs"].get(state, (0, 0, 0))
        count.add_metric([state], blobs)
        logical.add_metric([state], nbytes)
        stored.add_metric([state], kept)
        saved += 0 if state == "remote" else nbytes - kept  # what is on the upstream only is not saved by encoding
    yield from (count, logical, stored)
    yield GaugeMetricFamily("freebits_saved_bytes", "Bytes the store does not hold thanks to encoding.", value=saved)
    ended = GaugeMetricFamily("freebits_jobs_ended", "Jobs that are over, by state.", labels=["state"])
    for state in ("done", "cancelled"):
        ended.add_metric([state], sample["jobs"].get(state, 0))
    yield ended
    encodings, seconds, nbytes = sample["encodings"]
    yield CounterMetricFamily("freebits_encodings", "Encodings finished by all workers.", value=encodings)
    yield CounterMetricFamily("freebits_encode_seconds", "Time all workers spent encoding.", value=seconds)
    yield CounterMetricFamily("freebits_encode_bytes", "Bytes of the files all workers encoded.", value=nbytes)
    yield GaugeMetricFamily(
        "freebits_uploads_receiving", "Uploads that are not complete.", value=sample["uploads_receiving"]
    )
