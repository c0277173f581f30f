"""Listing repos walks indexes: private repos of others are not looked at, however many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, insert, text

from freebits_service.accounts.principal import STRANGER, Principal
from freebits_service.clock import now
from freebits_service.context import Hub
from freebits_service.db import Database
from freebits_service.models import Repo
from freebits_service.repos.queries import list_repos

OTHERS = 120_000


def _seed(hub: Hub) -> None:
    """Very many private repos of others in front of a few that somebody may see."""
    names = [("aaa", f"r{number:06}", "private") for number in range(OTHERS)]
    names += [("lab", f"r{number}", "private") for number in range(50)]
    names += [("zoo", f"r{number:03}", "public") for number in range(300)]
    moment = now()
    rows = [
        {"namespace": namespace, "name": name, "visibility": visibility, "default_branch": "main", "created_at": moment}
        for namespace, name, visibility in names
    ]
    with hub.db.transaction() as session:
        session.execute(insert(Repo), rows)
    with hub.db.transaction() as session:
        session.execute(text("ANALYZE"))


@contextmanager
def _plans(database: Database) -> Iterator[list[str]]:
    """The plan of every statement of the block."""
    plans: list[str] = []
    is_sqlite = database.engine.dialect.name == "sqlite"
    prefix = "EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN "

    @event.listens_for(database.engine, "before_cursor_execute")
    def explain(connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            with connection.connection.cursor() if not is_sqlite else _closing(connection) as asking:
                asking.execute(prefix + statement, parameters)
                plans.append("\n".join(str(row[-1]) for row in asking.fetchall()))

    yield plans
    event.remove(database.engine, "before_cursor_execute", explain)


@contextmanager
def _closing(connection: Any) -> Iterator[Any]:
    cursor = connection.connection.cursor()
    yield cursor
    cursor.close()


@pytest.mark.parametrize("who", [STRANGER, Principal(7, "ann", "user", roles={"lab": "read"})], ids=["stranger", "ann"])
def test_a_page_is_found_by_indexes(make_hub: Callable[..., Hub], who: Principal) -> None:
    """The first page, and one behind a cursor, are complete and read no table from end to end."""
    hub = make_hub()
    _seed(hub)
    expected = ([("lab", f"r{n}") for n in range(50)] if who.roles else []) + [("zoo", f"r{n:03}") for n in range(300)]
    expected.sort()
    found: list[tuple[str, str]] = []
    with _plans(hub.db) as plans, hub.db.snapshot() as session:
        while page := list_repos(session, who, namespace=None, after=found[-1] if found else None, limit=100):
            found += [(repo.namespace, repo.name) for repo, _ in page]
    assert found == expected
    assert len(plans) > 3
    for plan in plans:
        assert "Seq Scan on repo" not in plan, plan
        assert "SCAN repo\n" not in plan + "\n", plan
