"""The statements of the collector and of the new lists use indexes on a Postgres with a few hundred thousand rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from postgres import PostgresServer
from sqlalchemy import event, text

from freebits_service.accounts.principal import Principal, readable_by
from freebits_service.clock import in_seconds
from freebits_service.collection.operations import collect
from freebits_service.collection.survey import survey
from freebits_service.context import Hub, open_hub
from freebits_service.migrate import upgrade
from freebits_service.repos.queries import list_deleted_repos
from freebits_service.settings import Settings
from freebits_service.tensors.queries import list_shared, list_tensors

LARGE = ("blob", "repo_blob", "commit", "tree", "tree_page", "tree_span", "tree_entry", "tensor", "job", "repo")
SEED = """
INSERT INTO repo (id, namespace, name, visibility, default_branch, created_at, deleted_at, deleted_name)
  SELECT n, 'ns' || n % 500, CASE WHEN n % 1000 = 7 THEN '~' || n ELSE 'r' || n END, 'public', 'main', now(),
         CASE WHEN n % 1000 = 7 THEN now() - interval '30 days' END, CASE WHEN n % 1000 = 7 THEN 'r' || n END
  FROM generate_series(1, 50000) n;
INSERT INTO blob (id, sha256, nbytes, state, raw_key, created_at, look_at)
  SELECT n, md5(n::text) || md5(n::text || 'x'), 10, 'raw', 'blobs/raw/' || n, now() - interval '60 days',
         CASE WHEN n % 500 = 3 THEN now() - interval '50 days' END
  FROM generate_series(1, 200000) n;
INSERT INTO repo_blob SELECT n % 50000 + 1, n FROM generate_series(1, 200000) n;
INSERT INTO tree (id, repo_id, digest) SELECT n, n % 50000 + 1, md5(n::text) FROM generate_series(1, 100000) n;
INSERT INTO tree_page (id, repo_id, digest) SELECT n, n % 50000 + 1, md5(n::text) FROM generate_series(1, 100000) n;
INSERT INTO tree_span SELECT n, 'a', n FROM generate_series(1, 100000) n;
INSERT INTO tree_entry (page_id, path, blob_id)
  SELECT n % 50000 + 50000, 'p' || n, n FROM generate_series(1, 200000) n;
INSERT INTO commit (id, repo_id, digest, tree_id, author, message, description, created_at)
  SELECT n, n % 50000 + 1, md5(n::text), n, 'a', 'm', '', now() FROM generate_series(1, 100000) n;
INSERT INTO job (id, key, queue, blob_id, state, attempt, failures, not_before, progress_nbytes, outcome, created_at)
  SELECT n, 'k' || n, 'cpu', n, 'done', 1, 0, now(), 0, '', now() FROM generate_series(1, 100000) n;
INSERT INTO tensor (blob_id, number, name, dtype, shape, nbytes, start, digest)
  SELECT n % 20000 + 1, n / 20000, 't', 'F32', '[1]', 4, 0, md5((n % 1000)::text) FROM generate_series(1, 200000) n;
"""


@pytest.fixture(scope="module")
def large_hub(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub over a seeded Postgres, without any object."""
    url = postgres.create_database("plans")
    upgrade(url)
    hub = open_hub(Settings(data=Path(tmp_path_factory.mktemp("large")), database_url=url, grace_s=0))
    with hub.db.engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))  # no foreign key is checked
        for statement in SEED.split(";"):
            if statement.strip():
                connection.execute(text(statement))
    with hub.db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    yield hub
    hub.db.close()
    postgres.drop_database("plans")


def plans_of(hub: Hub, work: Any) -> dict[str, str]:
    """Each statement that `work` makes, with its plan."""
    made: dict[str, Any] = {}

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if not many and statement.split(maxsplit=1)[0] in {"SELECT", "UPDATE", "DELETE"}:
            made.setdefault(statement, parameters)

    event.listen(hub.db.engine, "before_cursor_execute", note)
    try:
        work()
    finally:
        event.remove(hub.db.engine, "before_cursor_execute", note)
    plans = {}
    with hub.db.engine.connect() as connection:
        for statement, parameters in made.items():
            lines = connection.exec_driver_sql("EXPLAIN " + statement, parameters).scalars().all()
            plans[statement] = "\n".join(lines)
    return plans


def assert_no_scan(plans: dict[str, str]) -> None:
    """No plan reads a large table from end to end."""
    assert plans
    for statement, plan in plans.items():
        scanned = [table for table in LARGE if f"Seq Scan on {table} " in plan or f"Seq Scan on {table}\n" in plan]
        assert not scanned, f"{scanned}\n{statement}\n{plan}"


def test_lists_and_dry_run(large_hub: Hub) -> None:
    """Deleted repos, tensors of a file, files with a tensor, and what a collection would do."""

    def work() -> None:
        with large_hub.db.snapshot() as session:
            for caller in (Principal(1, "root", "admin"), Principal(2, "ns7", "user")):
                options: dict[str, Any] = {"caller": caller, "namespace": None, "after": None}
                assert list_deleted_repos(session, in_seconds(-90 * 86400), limit=100, **options)
            assert list_tensors(session, 7, 0, 100)
            shared = readable_by(Principal(3, "ns1", "user"))
            digest = session.execute(text("SELECT digest FROM tensor LIMIT 1")).scalar_one()
            list_shared(session, digest, shared, None, 100)
        survey(large_hub, least_grace_s=0)

    plans = plans_of(large_hub, work)
    plans.pop("SELECT digest FROM tensor LIMIT 1")
    assert_no_scan(plans)


def test_a_collection(large_hub: Hub) -> None:
    """Purging 50 repos and looking at a few hundred blobs of 200,000 touches those and no others."""
    collected = []
    plans = plans_of(large_hub, lambda: collected.append(collect(large_hub, least_grace_s=0)))
    assert (collected[0].repos, collected[0].blobs) == (50, 200)
    assert_no_scan(plans)
    assert any("FOR UPDATE SKIP LOCKED" in statement and "ix_blob_look_at" in plan for statement, plan in plans.items())
