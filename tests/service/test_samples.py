"""Numbers of the whole hub: right, taken by one process for all, and never by a scrape that would wait for them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event, text

from freebits_service.context import Hub
from freebits_service.samples import operations, queries

CONTENT = b"abcdefgh" * 5_000


def scrape(client: Any) -> dict[str, float]:
    """The metrics by name and labels."""
    lines = client.http.get("/metrics").text.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


def due_now(hub: Hub) -> None:
    """Make all samples due."""
    with hub.db.transaction() as session:
        session.execute(text("UPDATE sample SET due_at = '2000-01-01 00:00:00+00:00'"))


def test_the_gauges_of_a_hub(hub: Hub, client: Any) -> None:
    """Blobs, bytes, savings, jobs and the age of the queue are what is in the database."""
    repo = client.new_repo()
    client.push(repo, {"a": CONTENT, "b": CONTENT[8:]})
    with hub.db.transaction() as session:
        session.execute(text("UPDATE job SET priority = 100, not_before = '2020-01-01 00:00:00+00:00' WHERE id = 1"))
        session.execute(
            text("UPDATE job SET state='done', encode_s=2.0, progress_nbytes=:n WHERE id = 2"), {"n": len(CONTENT)}
        )
        session.execute(text("UPDATE blob SET state='encoded', container_nbytes=1000 WHERE id = 2"))
    due_now(hub)
    found = scrape(client)
    total = len(CONTENT) * 2 - 8
    assert found['freebits_blobs{state="encoding"}'] == found['freebits_blobs{state="encoded"}'] == 1
    assert sum(value for name, value in found.items() if name.startswith("freebits_blob_logical_bytes")) == total
    encoded = found['freebits_blob_logical_bytes{state="encoded"}']
    assert found["freebits_saved_bytes"] == encoded - 1000
    assert found['freebits_queue_jobs{priority="100",queue="cpu"}'] == 1
    assert found['freebits_queue_oldest_seconds{priority="100",queue="cpu"}'] > 365 * 86400
    assert found['freebits_jobs{state="queued"}'] == found['freebits_jobs_ended{state="done"}'] == 1
    assert found["freebits_encode_seconds_total"] == 2
    assert found["freebits_encode_bytes_total"] == len(CONTENT)
    assert found['freebits_sample_age_seconds{sample="content"}'] < 60


def test_windows_add_up(hub: Hub, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting in small windows gives what counting at once gives."""
    repo = client.new_repo()
    client.push(repo, {f"f{n}": CONTENT[n:] for n in range(7)})
    with hub.db.snapshot() as session:
        at_once = queries.count_content(session)
        monkeypatch.setattr(queries, "WINDOW_ROWS", 2)
        assert queries.count_content(session) == at_once
    assert at_once["blobs"]["encoding"][0] == 7


def test_one_of_many_takes_a_sample(hub: Hub) -> None:
    """Of ten that find it due at the same moment one counts; the others read."""
    due_now(hub)

    def claim(_: int) -> bool:
        with hub.db.transaction() as session:
            return queries.claim(session, "content", 300)

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(claim, range(10))) == 1


def test_scraping_often_reads_two_rows(hub: Hub, make_client: Callable[[Hub], Any]) -> None:
    """Between two samples a scrape looks at no table but the samples'."""
    client = make_client(hub)
    scrape(client)
    statements: list[str] = []
    engine = client.http.app.state.observing.engine
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    for _ in range(3):
        scrape(client)
    tables = {found for statement in statements for found in re.findall(r"FROM (\w+)", statement)}
    assert tables == {"sample"}


def test_a_slow_count_does_not_hold_up_the_scrape(
    hub: Hub, make_client: Callable[[Hub], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on in the background, and the next scrapes show it."""
    monkeypatch.setattr(operations, "WAIT_S", 0.05)
    monkeypatch.setattr(queries, "count_content", lambda session: time.sleep(0.5) or {**_EMPTY, "uploads_receiving": 7})
    client = make_client(hub)
    assert "freebits_uploads_receiving" not in scrape(client)
    deadline = time.monotonic() + 60
    while scrape(client).get("freebits_uploads_receiving") != 7:
        assert time.monotonic() < deadline
        time.sleep(0.05)


_EMPTY: dict[str, Any] = {"blobs": {}, "jobs": {}, "encodings": [0, 0.0, 0]}
