"""The hub as a process: starting, refusing, ending, and what it says and logs."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import select, update

from freebits_service.models import Job, Worker

CONTENT = b"0123456789abcdef" * 100_000
ON_SQLITE = pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)  # the database is not the point


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 40) -> None:
    """Fail unless `condition` becomes true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)


def states(client: Any, repo: str) -> set[str]:
    """The states of the files of a repo."""
    listing = client.get(f"/repos/{repo}/tree/main", params={"recursive": True})
    return {item["state"] for item in listing.json()["items"]}


def test_a_hub_serves_encodes_and_ends(make_process: Callable[..., Any], connect: Callable[..., Any]) -> None:
    """One command: greets, takes files, encodes them, logs JSON without secrets, ends cleanly with its worker."""
    served = make_process()
    served.start()
    client = connect(served)
    repo = client.new_repo()
    client.push(repo, {"a": CONTENT})
    wait_until(lambda: states(client, repo) == {"encoded"}, "encoding")
    assert client.resolve(repo, "a").content == CONTENT
    family = psutil.Process(served.process.pid).children(recursive=True)
    assert family
    served.process.send_signal(signal.SIGTERM)
    greeting = served.process.communicate(timeout=30)[0].decode()
    assert served.process.returncode == 0
    wait_until(lambda: not any(child.is_running() for child in family), "the worker to end")
    assert f"freebits login --endpoint {served.url}" in greeting
    lines = [json.loads(line) for line in served.log().splitlines()]
    assert any(line.get("path", "").endswith("/resolve/main/a") and line["request_id"] for line in lines)
    assert client.token not in served.log() + greeting


@ON_SQLITE
def test_a_killed_hub_takes_its_worker_along(make_process: Callable[..., Any]) -> None:
    """After kill -9 of the server no process of it stays."""
    served = make_process()
    served.start()
    parent = psutil.Process(served.process.pid)
    wait_until(lambda: bool(parent.children()), "the worker")
    family = parent.children(recursive=True)
    served.end(signal.SIGKILL)
    wait_until(lambda: not any(_lives(child) for child in family), "the worker to end")


def test_a_killed_worker_is_started_again(make_process: Callable[..., Any], connect: Callable[..., Any]) -> None:
    """And the work is done."""
    served = make_process()
    served.start()
    client = connect(served)
    repo = client.new_repo()
    worker = psutil.Process(served.process.pid).children()[0]
    client.push(repo, {f"f{n}": CONTENT[n:] for n in range(5)})
    worker.kill()
    wait_until(lambda: states(client, repo) == {"encoded"}, "encoding by a new worker", 60)


def test_work_of_a_dead_worker_and_forgotten_work_is_done(
    make_process: Callable[..., Any], connect: Callable[..., Any]
) -> None:
    """A job that a vanished worker held is handed on; a raw blob that never had a job gets one at the start."""
    served = make_process("--no-worker")
    served.start()
    client = connect(served)
    held, forgotten = client.new_repo("admin/held"), client.new_repo("admin/forgotten")
    client.push(held, {"a": CONTENT})
    served.end(signal.SIGKILL)
    with closing(served.open_database()) as database, database.transaction() as session:
        session.execute(update(Job).values(state="running", attempt=1, worker_id="gone"))
        long_ago = datetime(2020, 1, 1, tzinfo=UTC)
        session.add(Worker(id="gone", queue="cpu", pid=1, started_at=long_ago, heartbeat_at=long_ago))
    served.flags = ["--no-worker", "--encode-min-nbytes", "1000000000"]
    served.start()
    client.push(forgotten, {"b": CONTENT[1:]})
    assert states(client, forgotten) == {"raw"}
    served.end(signal.SIGTERM)
    served.flags = ["--worker-dead-after-s", "2"]
    served.start()
    wait_until(lambda: states(client, held) | states(client, forgotten) == {"encoded"}, "both encoded")
    assert client.resolve(held, "a").content == CONTENT
    with closing(served.open_database()) as database, database.snapshot() as session:
        assert "gone" not in session.scalars(select(Worker.id)).all()


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@ON_SQLITE
def test_two_hubs_on_one_folder_are_refused(make_process: Callable[..., Any]) -> None:
    """The second says who holds it and ends; the first serves on."""
    first = make_process("--no-worker")
    first.start()
    second = make_process("--no-worker")
    process = second.spawn()
    assert process.wait(timeout=30) == 1
    process.communicate()
    assert f"in use by another hub (process {first.process.pid})" in first.log()
    assert httpx.get(f"{first.url}/healthz").status_code == 200


@ON_SQLITE
def test_a_taken_port_is_one_clear_line(make_process: Callable[..., Any], tmp_path: Path) -> None:
    """Exit status 2, no traceback."""
    first = make_process("--no-worker")
    first.start()
    command = [sys.executable, "-m", "freebits_service", "--data", str(tmp_path / "other"), "--port", str(first.port)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("freebits serve: cannot listen on 127.0.0.1")
    assert "Traceback" not in done.stderr


def test_the_first_start_makes_a_token_that_works(tmp_path: Path) -> None:
    """It is printed once; another one can be made from the command line."""
    environment = {name: value for name, value in os.environ.items() if name != "FREEBITS_ADMIN_TOKEN"}
    command = [sys.executable, "-m", "freebits_service", "--data", str(tmp_path / "hub"), "--port", "0", "--no-worker"]
    tokens = []
    for _ in range(2):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        greeting = [process.stdout.readline().decode() for _ in range(5)]
        words = greeting[2].split()
        url, token = words[words.index("--endpoint") + 1], words[words.index("--token") + 1]
        if not tokens:
            reply = httpx.get(f"{url}/api/v1/whoami", headers={"Authorization": f"Bearer {token}"}, timeout=30)
            assert reply.json().items() >= {"name": "admin", "role": "admin"}.items()
        tokens.append(token)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 130
    assert tokens[1] == "TOKEN"
    made = subprocess.run([*command, "--new-admin-token"], env=environment, capture_output=True, text=True, check=True)
    assert made.stdout.strip().startswith("fb_")
    assert made.stdout.strip() != tokens[0]


@ON_SQLITE
def test_a_client_that_leaves_frees_the_reader(make_process: Callable[..., Any], connect: Callable[..., Any]) -> None:
    """Downloads cut short leave no open file behind."""
    served = make_process("--no-worker")
    served.start()
    client = connect(served)
    repo = client.new_repo()
    content = random.Random(3).randbytes(24 << 20)
    client.push(repo, {"a": content})
    server = psutil.Process(served.process.pid)
    for _ in range(5):
        with httpx.stream("GET", f"{served.url}/api/v1/repos/{repo}/resolve/main/a") as reply:
            assert next(reply.iter_raw())
    wait_until(lambda: not [f for f in server.open_files() if "/objects/" in f.path], "files to be closed")
    assert client.resolve(repo, "a").content == content


@ON_SQLITE
@pytest.mark.parametrize("body", [b"", b"x" * 1000])
def test_an_upload_cut_in_the_middle_counts_nothing(
    make_process: Callable[..., Any], connect: Callable[..., Any], body: bytes
) -> None:
    """A connection that breaks inside of a part leaves the part unreceived and the hub well."""
    served = make_process("--no-worker")
    served.start()
    client = connect(served)
    repo = client.new_repo()
    upload = client.begin(repo, CONTENT).json()
    with socket.create_connection(("127.0.0.1", served.port)) as raw:
        raw.sendall(
            f"PUT /api/v1/repos/{repo}/uploads/{upload['id']}/parts/0 HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {client.token}\r\nContent-Length: {upload['part_nbytes']}\r\n\r\n".encode()
            + body
        )
        time.sleep(0.3)
    assert client.get(f"/repos/{repo}/uploads/{upload['id']}").json()["received"] == []
    client.push(repo, {"a": CONTENT})
    assert client.resolve(repo, "a").content == CONTENT
