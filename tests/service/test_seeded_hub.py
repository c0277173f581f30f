"""A hub whose database was filled by ``tests/bench/seed.py``: it answers as if everything had been pushed, and its
statements find what they need by an index, in a bounded number."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.orm import Session

sys.path.append(str(Path(__file__).parents[1] / "bench"))
from seed import seed
from seeded_repos import SeedPlan, token_of, user_name

from freebits_service.accounts.operations import ensure_admin
from freebits_service.clock import now
from freebits_service.collection import queries
from freebits_service.context import Hub, open_hub
from freebits_service.downloads.leases import OpenBlobs
from freebits_service.jobs import queries as jobs
from freebits_service.jobs import worker_rows
from freebits_service.migrate import upgrade
from freebits_service.settings import Settings
from freebits_service.trees.operations import store_edited
from freebits_service.trees.pages import Leaf

pytestmark = pytest.mark.parametrize("engine_name", ["postgres"], indirect=True)
PLAN = SeedPlan(
    repos=2000,
    files=60_000,
    huge_repos=1,
    huge_files=5000,
    long_histories=1,
    long_commits=300,
    users=3000,
    jobs=20_000,
    uploads=5000,
    audits=5000,
)
HUGE, LONG = "model-000000", "model-000001"
CONTENT = [b"%d " % number * 3000 for number in range(5)]
GROWING = {
    *("repo", "commit", "tree", "tree_span", "tree_page", "tree_entry", "blob", "repo_blob"),
    *("upload", "job", "audit", "token", "user", "ref"),
}
ADMIN_TOKEN = "admin-token-of-the-tests"


@pytest.fixture(scope="module")
def seeded(postgres: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub on Postgres: some real content, then the seed."""
    url = postgres.create_database("seeded")
    upgrade(url)
    settings = Settings(
        data=tmp_path_factory.mktemp("seeded"),
        database_url=url,
        encode_min_nbytes=1,
        min_free_nbytes=0,
        part_nbytes=1 << 16,
        admin_token=ADMIN_TOKEN,
    )
    hub = open_hub(settings)
    ensure_admin(hub.db, ADMIN_TOKEN)
    yield hub
    hub.db.close()


@pytest.fixture
def api(seeded: Hub, make_client: Callable[[Hub], Any]) -> Any:
    """The admin, talking to the seeded hub; the first one seeds it."""
    client = make_client(seeded)
    if client.get("/repos/admin/pool").status_code == 404:
        client.new_repo("admin/pool")
        client.push("admin/pool", {f"f{number}": content for number, content in enumerate(CONTENT)})
        counted = seed(seeded.settings.sqlalchemy_url, PLAN)
        assert counted["repo"] == PLAN.repos
    return client


def repo_named(api: Any, name: str) -> dict[str, Any]:
    """The seeded repo of this name, whoever owns it."""
    after = None
    while True:
        page = api.get("/repos", params={"limit": 1000, **({"after": after} if after else {})}).json()
        for repo in page["items"]:
            if repo["name"].endswith("/" + name):
                found: dict[str, Any] = repo
                return found
        after = page["next"]


def test_a_seeded_repo_reads_like_any_other(api: Any) -> None:
    """All files of the largest are listed in order, what is in the store is pulled, each file answers HEAD."""
    repo = repo_named(api, HUGE)["name"]
    paths, after = [], None
    while True:
        params = {"recursive": True, "limit": 2000, **({"after": after} if after else {})}
        page = api.get(f"/repos/{repo}/tree/main", params=params).json()
        paths += [item["path"] for item in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert len(paths) == PLAN.huge_files
    assert paths == sorted(paths, key=str.encode)
    assert api.resolve(repo, "model.safetensors").content in CONTENT
    head = api.resolve(repo, paths[1], method="HEAD")
    assert head.status_code == 200
    assert len(head.headers["X-Freebits-Sha256"]) == 64
    top = api.get(f"/repos/{repo}/tree/main").json()["items"]
    assert {item["type"] for item in top} == {"file", "directory"}


def test_seeded_pages_are_those_that_a_commit_of_the_files_makes(api: Any, seeded: Hub) -> None:
    """Tree digest and pages agree with what the service stores for the same files."""
    repo = repo_named(api, LONG)
    items = api.get(f"/repos/{repo['name']}/tree/main", params={"recursive": True, "limit": 10_000}).json()["items"]
    with seeded.db.transaction() as session:
        found = session.execute(
            text("SELECT t.digest, t.repo_id FROM tree t JOIN commit c ON c.tree_id = t.id WHERE c.digest = :head"),
            {"head": repo["head"]},
        ).one()
        other = session.execute(text("SELECT id FROM repo WHERE namespace = 'admin' AND name = 'pool'")).scalar_one()
        ids = dict(row for row in session.execute(text("SELECT sha256, id FROM blob")))
        leaves = {
            each["path"]: Leaf(each["path"], ids[each["sha256"]], each["sha256"], each["nbytes"]) for each in items
        }
        assert store_edited(session, other, None, leaves)[1] == found.digest


def test_a_seeded_history_and_its_owner_are_real(api: Any) -> None:
    """A long history is paged through; the owner's token may push on top of it; others are told nothing of it."""
    repo = repo_named(api, LONG)
    count, after = 0, None
    while True:
        params = {"limit": 100, **({"after": after} if after else {})}
        page = api.get(f"/repos/{repo['name']}/commits/main", params=params).json()
        count += len(page["items"])
        after = page["next"]
        if after is None:
            break
    assert count == PLAN.long_commits
    owner = api.as_user(token_of(int(repo["name"].partition("/")[0].removeprefix("user-"))))
    assert owner.get("/whoami").json()["name"] == repo["name"].partition("/")[0]
    owner.push(repo["name"], {"new": b"pushed on top"}, repo["head"])
    assert owner.resolve(repo["name"], "new").content == b"pushed on top"


@contextmanager
def captured(hub: Hub) -> Iterator[list[tuple[str, Any]]]:
    """The statements that run inside of the block, with their parameters."""
    statements: list[tuple[str, Any]] = []

    def note(_connection: Connection, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")):
            statements.append((statement, parameters[0] if many and isinstance(parameters, list) else parameters))

    event.listen(hub.db.engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(hub.db.engine, "before_cursor_execute", note)


def looked_at(hub: Hub, statement: str, parameters: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node of the plan that reads a table: (table, node), run for real and rolled back.

    The tables of a test are so small that scanning some is right; so scans, and joins that read a whole table, are
    switched off: what remains shows whether an index leads to the rows.
    """
    with hub.db.engine.connect() as connection, connection.begin() as transaction:
        for way in ("seqscan", "hashjoin", "mergejoin"):
            connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
        plan = connection.exec_driver_sql("EXPLAIN (ANALYZE, FORMAT JSON) " + statement, parameters).scalar_one()
        transaction.rollback()
    pending = [(json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]]
    while pending:
        node = pending.pop()
        pending += node.get("Plans", [])
        if "Relation Name" in node:
            yield node["Relation Name"], node


def assert_indexed(hub: Hub, statements: Sequence[tuple[str, Any]], most: int, rows: int = 3000) -> None:
    """Few statements, none of which scans a table that grows, or looks at many more rows than it answers with."""
    assert 0 < len(statements) <= most, f"{len(statements)} statements:\n" + "\n".join(each for each, _ in statements)
    for statement, parameters in statements:
        if statement.startswith("INSERT"):
            continue  # it looks at nothing, and cannot be repeated
        for table, node in looked_at(hub, statement, parameters):
            if table not in GROWING:
                continue
            assert node["Node Type"] != "Seq Scan", f"scans {table}: {statement}\n{parameters}"
            loops = node["Actual Loops"]
            seen = loops * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
            assert seen <= rows, f"{seen} rows of {table}: {statement}\n{parameters}"


READS: dict[str, tuple[str, dict[str, Any], int]] = {
    "whoami": ("/whoami", {}, 3),
    "repos": ("/repos", {"limit": 100}, 4),
    "repos of a namespace": ("/repos", {"namespace": user_name(3), "limit": 100}, 4),
    "repos from the middle": ("/repos", {"after": "user-000500/model-000000", "limit": 100}, 4),
    "repo": ("/repos/{huge}", {}, 5),
    "refs": ("/repos/{huge}/refs", {}, 5),
    "history": ("/repos/{long}/commits/main", {"limit": 50}, 7),
    "tree": ("/repos/{huge}/tree/main", {}, 35),
    "recursive tree": ("/repos/{huge}/tree/main", {"recursive": True, "limit": 500}, 7),
    "tree from the middle": (
        "/repos/{huge}/tree/main",
        {"recursive": True, "after": "checkpoint-20", "limit": 500},
        7,
    ),
}


@pytest.mark.parametrize("kind", READS)
@pytest.mark.parametrize("who", ["stranger", "owner", "admin"])
def test_reads_use_indexes(api: Any, seeded: Hub, kind: str, who: str) -> None:
    """As a stranger, as somebody with repos, as an admin."""
    path, params, most = READS[kind]
    huge, long = repo_named(api, HUGE)["name"], repo_named(api, LONG)["name"]
    for repo in (huge, long):
        api.request("PATCH", f"/repos/{repo}", json={"visibility": "public"})
    client = {"stranger": api.as_user(None), "owner": api.as_user(token_of(3)), "admin": api}[who]
    if (who, kind) == ("stranger", "whoami"):
        return
    with captured(seeded) as statements:
        reply = client.get(path.format(huge=huge, long=long), params=params)
    assert reply.status_code == 200, reply.text
    assert_indexed(seeded, statements, most)


@pytest.mark.parametrize("path", ["model.safetensors", "checkpoint-7/model-00003-of-00200.safetensors", "absent"])
def test_resolving_uses_indexes(api: Any, seeded: Hub, path: str) -> None:
    """HEAD of a file in the largest repo: token, repo, revision, file."""
    repo = repo_named(api, HUGE)["name"]
    with captured(seeded) as statements:
        reply = api.resolve(repo, path, method="HEAD")
    assert reply.status_code == (404 if path == "absent" else 200)
    assert_indexed(seeded, statements, 6, rows=600)


def test_a_push_uses_indexes(api: Any, seeded: Hub) -> None:
    """Begin, part, complete, and the commit on a branch of the largest repo."""
    repo = repo_named(api, HUGE)
    owner = api.as_user(token_of(int(repo["name"].partition("/")[0].removeprefix("user-"))))
    content = hashlib.sha256(b"pushed").digest() * 100
    with captured(seeded) as statements:
        upload = owner.begin(repo["name"], content).json()
    assert_indexed(seeded, statements, 14)
    with captured(seeded) as statements:
        assert owner.put_part(repo["name"], upload, 0, content).status_code == 200
    assert_indexed(seeded, statements, 10)
    with captured(seeded) as statements:
        assert owner.complete(repo["name"], upload).status_code == 200
    assert_indexed(seeded, statements, 18)
    with captured(seeded) as statements:
        assert owner.commit(repo["name"], {"new": content}, repo["head"]).status_code == 201
    assert_indexed(seeded, statements, 30)


def test_a_large_commit_takes_few_statements(api: Any, seeded: Hub) -> None:
    """Two thousand files that the hub has: statements grow with batches of hundreds, not with files or pages."""
    api.new_repo("admin/large")
    with seeded.db.snapshot() as session:
        found = session.execute(text("SELECT sha256, nbytes FROM blob ORDER BY id LIMIT 2000")).all()
    operations = [
        {"op": "add", "path": f"f{number:05}", "sha256": sha256, "nbytes": nbytes}
        for number, (sha256, nbytes) in enumerate(found)
    ]
    body = {"branch": "main", "parent": None, "message": "large", "operations": operations}
    with captured(seeded) as statements:
        reply = api.post("/repos/admin/large/commits", json=body)
    assert reply.status_code == 201, reply.text
    assert_indexed(seeded, statements, 60)


def test_lists_of_jobs_use_indexes(api: Any, seeded: Hub) -> None:
    """All, those of a rare state, those of a common state, from the middle."""
    for params in ({}, {"state": "parked"}, {"state": "done"}, {"state": "running"}, {"after": 5000, "state": "done"}):
        with captured(seeded) as statements:
            assert api.get("/jobs", params=params).status_code == 200
        assert_indexed(seeded, statements, 4)


def test_statements_of_workers_use_indexes(api: Any, seeded: Hub) -> None:
    """Claiming, holding, progress, looking for lost jobs, finding blobs nobody asked for."""
    work: list[Callable[[Session], object]] = [
        lambda session: jobs.claim_job(session, ["cpu", "gpu"], "w"),
        lambda session: jobs.hold_attempt(session, 10_000, 1, "w"),
        lambda session: jobs.set_progress(session, 10_000, 1, "w", 5),
        lambda session: jobs.running_attempts(session, 0),
        lambda session: worker_rows.dead_workers(session, 20),
        lambda session: jobs.find_raw_blobs_without_job(session, (4096, 0), 500),
        lambda session: jobs.release_attempts(session, "w"),
        lambda session: jobs.cancel_jobs_of_blob(session, 500, "x"),
    ]
    for each in work:
        with captured(seeded) as statements, seeded.db.transaction() as session:
            each(session)
            session.rollback()
        assert_indexed(seeded, statements, 3)


def test_leases_use_an_index(api: Any, seeded: Hub) -> None:
    """Extending the lease of what is being read."""
    reading = OpenBlobs()
    for blob in range(100, 400):
        reading.opened(blob)
    with captured(seeded) as statements:
        reading.extend_leases(seeded.db)
    assert_indexed(seeded, statements, 2)
    with seeded.db.transaction() as session:
        session.execute(text("UPDATE blob SET leased_until = NULL"))


def test_collecting_uses_indexes(api: Any, seeded: Hub) -> None:
    """Each batch of the collector, on a hub where nothing is to be collected."""
    before = now() - timedelta(days=400)
    work: list[Callable[[Session], object]] = [
        lambda session: queries.take_expired_uploads(session, 400),
        lambda session: queries.lock_due_blobs(session, before, None, 400),
        lambda session: queries.held_blob_ids(session, list(range(400))),
        lambda session: queries.keys_in_use(session, [f"blobs/raw/aa/{number}" for number in range(400)]),
        lambda session: queries.staging_in_use(session, [f"{number:032x}" for number in range(400)]),
        lambda session: queries.living_uploads(session, [f"{number:032x}" for number in range(400)]),
        lambda session: queries.active_jobs(session, list(range(400))),
    ]
    for each in work:
        with captured(seeded) as statements, seeded.db.transaction() as session:
            each(session)
            session.rollback()
        assert_indexed(seeded, statements, 3)
