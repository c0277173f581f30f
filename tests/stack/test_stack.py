"""The whole topology as processes: two replicas behind the proxy, two workers, Postgres, S3. Then things die."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml
from images import ROOT
from stack import ADMIN_TOKEN, BIN, Process, Stack

DEADLINE_S = 180.0
MIB = 1 << 20


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One stack for all tests here; the compose file's own settings but for quick polls and small parts."""
    started = Stack(
        FREEBITS_PART_NBYTES=str(5 * MIB),
        FREEBITS_WORKER_DEAD_AFTER_S="5",
        FREEBITS_HEARTBEAT_S="0.5",
        FREEBITS_SHUTDOWN_DELAY_S="2",
        FREEBITS_JOB_BACKOFF_S="0.2",
        FREEBITS_REDIRECT_DOWNLOADS="false",
        FREEBITS_DIRECT_UPLOADS="false",
    )
    yield started
    started.close()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Fail unless `condition` becomes true in time."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def api(process: Process, path: str, **options: Any) -> httpx.Response:
    """A request to one process, as the admin."""
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", **options.pop("headers", {})}
    method = options.pop("method", "GET")
    return httpx.request(method, f"{process.url}/api/v1{path}", headers=headers, timeout=DEADLINE_S, **options)


def client(stack: Stack, *arguments: str | Path) -> subprocess.Popen[str]:
    """The real client, through the proxy."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(stack.root),
        "FREEBITS_ENDPOINT": stack.proxy.url,
        "FREEBITS_TOKEN": ADMIN_TOKEN,
    }
    command = [str(BIN / "freebits"), *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


def finish(process: subprocess.Popen[str]) -> None:
    """It has to succeed."""
    stdout, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, stdout + stderr


def states(process: Process, repo: str) -> set[str]:
    """The states of the files of a repo."""
    items = api(process, f"/repos/{repo}/tree/main", params={"recursive": True, "limit": 1000}).json()["items"]
    return {item["state"] for item in items}


def weights(seed: int, nbytes: int) -> bytes:
    """Bytes that take some time to encode and get smaller by it."""
    rng = random.Random(seed)
    return bytes(rng.choices(range(8), k=1 << 16)) * (nbytes >> 17) + rng.randbytes(nbytes >> 1)


def test_pushed_through_one_replica_read_through_the_other(stack: Stack, tmp_path: Path) -> None:
    """And encoded by a worker; one grep by the request's id finds the request and the job."""
    one, other = stack.apis
    content = weights(1, 4 * MIB)
    digest = hashlib.sha256(content).hexdigest()
    assert api(one, "/repos", method="POST", json={"name": "admin/first", "visibility": "private"}).status_code == 201
    body = {"sha256": digest, "nbytes": len(content), "encoding": "identity"}
    body |= {"stored_nbytes": len(content), "stored_sha256": digest}
    upload = api(one, "/repos/admin/first/uploads", method="POST", json=body).json()
    for number in range(upload["part_count"]):
        start = number * upload["part_nbytes"]
        path = f"/repos/admin/first/uploads/{upload['id']}/parts/{number}"
        replica = stack.apis[number % 2]
        sent = api(replica, path, method="PUT", content=content[start : start + upload["part_nbytes"]])
        assert sent.status_code == 200, sent.text
    done = api(other, f"/repos/admin/first/uploads/{upload['id']}/complete", method="POST")
    assert done.json()["state"] == "complete", done.text
    operations = [{"op": "add", "path": "a", "sha256": digest, "nbytes": len(content)}]
    commit = {"branch": "main", "parent": None, "message": "first", "operations": operations}
    headers = {"X-Request-ID": "the-first-commit"}
    committed = api(one, "/repos/admin/first/commits", method="POST", json=commit, headers=headers)
    assert committed.status_code == 201, committed.text
    assert api(other, "/repos/admin/first/resolve/main/a").content == content
    wait_until(lambda: states(other, "admin/first") == {"encoded"}, "encoding")
    assert api(one, "/repos/admin/first/resolve/main/a").content == content
    found = {each.name.partition("-")[0] for each in (*stack.apis, *stack.workers) if lines(each, "the-first-commit")}
    assert found == {"api", "worker"}


def lines(process: Process, request_id: str) -> list[dict[str, Any]]:
    """What `grep` by a request id finds, each line of it the JSON of that request."""
    found = [json.loads(line) for line in process.log().splitlines() if request_id in line]
    assert all(line["request_id"] == request_id for line in found)
    return found


def test_one_replica_and_one_worker_die_in_the_middle(stack: Stack, tmp_path: Path) -> None:
    """`kill -9` while the real client pushes and pulls through the proxy: both succeed, bit for bit."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for number in range(12):
        (source / f"f{number}.bin").write_bytes(weights(100 + number, 6 * MIB))
    finish(client(stack, "push", "--no-encode", source, "admin/busy"))
    again = tmp_path / "again"
    again.mkdir()
    for number in range(12):
        (again / f"g{number}.bin").write_bytes(weights(200 + number, 6 * MIB))
    pushing = client(stack, "push", "--no-encode", again, "admin/busier")
    pulling = client(stack, "pull", "admin/busy", "-o", target)
    wait_until(lambda: target.exists() and any(target.rglob("*")), "the pull to begin")
    stack.apis.pop(0).kill()
    stack.workers.pop(0).kill()
    finish(pulling)
    finish(pushing)
    same(source, target)
    finish(client(stack, "pull", "admin/busier", "-o", tmp_path / "back"))
    same(again, tmp_path / "back")
    survivor = stack.apis[0]
    for repo in ("admin/busy", "admin/busier"):
        wait_until(lambda repo=repo: states(survivor, repo) == {"encoded"}, "the other worker to do it all")  # type: ignore[misc]
    finish(client(stack, "pull", "admin/busier", "-o", tmp_path / "decoded"))
    same(again, tmp_path / "decoded")


def same(one: Path, other: Path) -> None:
    """The same files with the same bytes."""
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir() if path.is_file())
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_scaled_down_gracefully(stack: Stack, tmp_path: Path) -> None:
    """A replica and a worker that are asked to leave end with 0, and clients notice nothing."""
    added, worker = stack.start_api(), stack.start_worker()
    stack.wait_until_ready(added)
    stack.wait_until_ready(worker)
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.bin").write_bytes(weights(7, 20 * MIB))
    pushing = client(stack, "push", "--no-encode", source, "admin/calm")
    added.popen.terminate()
    wait_until(lambda: httpx.get(f"{added.url}/readyz").status_code == 503, "readiness to fall first")
    assert added.popen.wait(DEADLINE_S) == 0
    assert worker.terminate() == 0
    finish(pushing)
    finish(client(stack, "pull", "admin/calm", "-o", tmp_path / "back"))
    same(source, tmp_path / "back")


def test_prometheus_sees_all_of_it(stack: Stack) -> None:
    """Every process is scraped, the alerts are loaded, and the dashboard's queries find something."""
    if stack.prometheus is None:
        pytest.skip("no Prometheus binary")
    wait_until(
        lambda: len(query(stack, 'up{job=~"freebits-.*"} == 1')) == len([*stack.apis, *stack.workers]), "scrapes"
    )
    rules = httpx.get(f"{stack.prometheus.url}/api/v1/rules").json()["data"]["groups"][0]["rules"]
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
    panels = json.loads((ROOT / "docker/grafana/dashboards/freebits.json").read_text())["panels"]
    for target in [target for panel in panels for target in panel.get("targets", [])]:
        query(stack, target["expr"].replace("$__rate_interval", "1m"))
    wait_until(lambda: bool(query(stack, "sum(freebits_worker_encode_bytes_total) > 0")), "encode speed")
    wait_until(lambda: bool(query(stack, "sum(max by (state) (freebits_blobs)) > 0")), "samples")
    assert query(stack, "sum(freebits_store_seconds_count) > 0")
    assert query(stack, "sum(freebits_database_seconds_count) > 0")


def query(stack: Stack, expression: str) -> list[Any]:
    """What Prometheus answers; an expression that it does not understand fails."""
    assert stack.prometheus is not None
    url = f"{stack.prometheus.url}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
    reply = httpx.get(url, timeout=DEADLINE_S).json()
    assert reply["status"] == "success", (expression, reply)
    found: list[Any] = reply["data"]["result"]
    return found


def test_the_queue_scalers_question_is_one_postgres_answers(stack: Stack) -> None:
    """KEDA's query, on the real tables, is one whole number and read from an index."""
    manifests = list(yaml.safe_load_all((ROOT / "docker/kubernetes/worker.yaml").read_text()))
    (scaled,) = [each for each in manifests if each["kind"] == "ScaledObject"]
    question = scaled["spec"]["triggers"][0]["metadata"]["query"]
    url = stack.postgres.url("freebits").replace("+psycopg", "", 1)
    with psycopg.connect(url, autocommit=True) as connection:
        wait_until(lambda: connection.execute(question).fetchall() == [(0,)], "the queue to be empty")
        connection.execute("SET enable_seqscan = off")
        plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {question}"))
    assert "ix_job" in plan


def test_readiness_tells_store_and_database_apart(stack: Stack) -> None:
    """With the store dead the database is ok, and the other way round; then all is well again."""
    replica = stack.apis[0]
    stack.s3.kill()
    wait_until(lambda: checks(replica) == {"database": "ok", "migrations": "ok", "store": "down"}, "the store's fall")
    assert httpx.get(f"{replica.url}/healthz").status_code == 200
    stack.s3.start()
    wait_until(lambda: set(checks(replica).values()) == {"ok"}, "the store's return")
    stack.postgres.kill()
    wait_until(lambda: checks(replica) == {"database": "down", "migrations": "down", "store": "ok"}, "its fall")
    stack.postgres.start()
    wait_until(lambda: set(checks(replica).values()) == {"ok"}, "the database's return")
    assert api(replica, "/repos/admin/first").status_code == 200


def checks(process: Process) -> dict[str, str]:
    """The status of each dependency."""
    reply = httpx.get(f"{process.url}/readyz", timeout=DEADLINE_S).json()
    return {name: check["status"] for name, check in reply["checks"].items()}


def test_make_stack_starts_says_how_and_ends(tmp_path: Path) -> None:
    """The command itself: it prints what to type, that works, and Ctrl-C leaves nothing behind."""
    environment = {**os.environ, "PORT": "0", "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-u", ROOT / "tests" / "servers" / "stack.py"]
    running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert running.stdout
        said: dict[str, list[str]] = {}
        while "Ctrl-C" not in said:
            words = running.stdout.readline().split()
            assert words or running.poll() is None
            said.update({words[0]: words[1:]} if words else {})
        endpoint = said["log"][said["log"].index("--endpoint") + 1]
        token = said["log"][said["log"].index("--token") + 1]
        reply = httpx.get(f"{endpoint}/api/v1/whoami", headers={"Authorization": f"Bearer {token}"}, timeout=60)
        assert reply.json()["name"] == "admin"
        assert httpx.get(f"{endpoint}/metrics", timeout=60).status_code == 404, "metrics stay inside"
    finally:
        running.send_signal(2)
        running.communicate(timeout=DEADLINE_S)
    assert running.returncode == 0
    assert not list(tmp_path.glob("freebits-stack-*"))
