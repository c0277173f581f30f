"""Readiness names what is down; neither it nor liveness hangs when a dependency does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psutil
import pytest
from postgres import PostgresServer
from sqlalchemy import text

from freebits_service.context import Hub
from freebits_service.migrate import upgrade

DEADLINE_S = 60.0


@pytest.fixture
def doomed() -> Iterator[PostgresServer]:
    """A Postgres that a test may kill, with the tables of this release."""
    server = PostgresServer()
    upgrade(server.url())
    yield server
    server.close()


def ready(url: str) -> tuple[int, dict[str, str]]:
    """The status of `/readyz`, and that of each dependency."""
    reply = httpx.get(f"{url}/readyz", timeout=DEADLINE_S)
    return reply.status_code, {name: check["status"] for name, check in reply.json()["checks"].items()}


def wait_until_ready_is(url: str, expected: tuple[int, dict[str, str]]) -> None:
    """Fail unless `/readyz` comes to say this in time."""
    deadline = time.monotonic() + DEADLINE_S
    while (found := ready(url)) != expected:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


WELL = (200, {"database": "ok", "migrations": "ok", "store": "ok"})
NO_DATABASE = (503, {"database": "down", "migrations": "down", "store": "ok"})


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_a_database_that_dies_and_comes_back(make_process: Callable[..., Any], doomed: PostgresServer) -> None:
    """Readiness follows the real Postgres; the store stays ok and the process alive."""
    served = make_process("--no-worker", "--database-url", doomed.url())
    served.start()
    assert ready(served.url) == WELL
    doomed.kill()
    wait_until_ready_is(served.url, NO_DATABASE)
    assert httpx.get(f"{served.url}/healthz").status_code == 200
    doomed.start()
    wait_until_ready_is(served.url, WELL)


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_a_database_that_hangs(make_process: Callable[..., Any], doomed: PostgresServer) -> None:
    """Stopped in its tracks, it costs readiness its time limit and no more, however often it is asked."""
    served = make_process("--no-worker", "--database-url", doomed.url(), "--readiness-timeout-s", "0.2")
    served.start()
    server = psutil.Process(doomed.process.pid)
    family = [server, *server.children(recursive=True)]
    for process in family:
        process.suspend()
    try:
        wait_until_ready_is(served.url, NO_DATABASE)
        for _ in range(50):  # it would run out of threads if each took one
            assert httpx.get(f"{served.url}/readyz", timeout=DEADLINE_S).status_code == 503
        assert httpx.get(f"{served.url}/healthz").status_code == 200
        assert "freebits_database_errors_total" in httpx.get(f"{served.url}/metrics", timeout=DEADLINE_S).text
    finally:
        for process in family:
            process.resume()
    wait_until_ready_is(served.url, WELL)


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_answers_say_the_kind_of_an_error_and_the_log_its_text(
    make_process: Callable[..., Any], doomed: PostgresServer
) -> None:
    """Strangers may ask, so no address or user of the database is in the answer."""
    served = make_process("--no-worker", "--database-url", doomed.url())
    served.start()
    doomed.kill()
    wait_until_ready_is(served.url, NO_DATABASE)
    reply = httpx.get(f"{served.url}/readyz").json()
    assert reply["status"] == "down"
    assert set(reply["checks"]["database"]) == {"status", "error"}
    assert str(doomed.root) not in httpx.get(f"{served.url}/readyz").text
    assert str(doomed.root) in served.log()


@pytest.mark.parametrize(("revision", "status"), [("0001", 503), ("9999", 200)])
def test_tables_may_be_newer_but_not_older(
    hub: Hub, make_client: Callable[[Hub], Any], revision: str, status: int
) -> None:
    """A replica without its tables is not ready; one of the release before goes on after the migration."""
    client = make_client(hub)
    assert client.http.get("/readyz").status_code == 200
    with hub.db.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    reply = client.http.get("/readyz")
    assert reply.status_code == status
    assert reply.json()["checks"]["database"]["status"] == "ok"
    assert reply.json()["checks"]["migrations"]["status"] == ("ok" if status == 200 else "down")


def test_a_store_without_room_is_down(make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any]) -> None:
    """Nothing can be pushed to it."""
    client = make_client(make_hub(min_free_nbytes=1 << 60))
    reply = client.http.get("/readyz")
    assert reply.status_code == 503
    assert reply.json()["checks"]["store"] == {"status": "down", "error": "StorageFull"}
    assert reply.json()["checks"]["database"]["status"] == "ok"
