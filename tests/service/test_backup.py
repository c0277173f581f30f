"""A hub that is written to, backed up as ``docs/backup.md`` says, and restored elsewhere: whole and bit for bit."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from postgres import PostgresServer, find_binaries

PUSHES = 8


class Pusher(threading.Thread):
    """Pushes file after file until told to stop; remembers what was acknowledged."""

    def __init__(self, client: Any, repo: str) -> None:
        super().__init__(daemon=True)
        self.client, self.repo, self.stopping = client, repo, threading.Event()
        self.committed: dict[str, bytes] = {}
        self.enough = threading.Event()

    def run(self) -> None:
        """One commit per file, some of which can be encoded."""
        head, number = None, 0
        while not self.stopping.is_set():
            content = random.Random(number).randbytes(20_000) + bytes(50_000)
            head = self.client.push(self.repo, {f"f{number}": content}, head)
            self.committed[f"f{number}"] = content
            number += 1
            if number >= PUSHES:
                self.enough.set()


class SqliteBackup:
    """Database and folder of the embedded hub."""

    restored_url = ""

    def save(self, data: Path, backup: Path) -> None:
        """``sqlite3 hub.sqlite3 ".backup ..."``"""
        with closing(sqlite3.connect(data / "hub.sqlite3")) as source, closing(sqlite3.connect(backup / "db")) as copy:
            source.backup(copy)

    def load(self, backup: Path, data: Path) -> None:
        """Into place."""
        shutil.copy(backup / "db", data / "hub.sqlite3")

    def close(self) -> None:
        """Nothing runs."""


class PostgresBackup:
    """A database in one server, restored into another."""

    def __init__(self, url: str) -> None:
        if not all((find_binaries() / program).exists() for program in ("pg_dump", "pg_restore")):
            pytest.skip("these Postgres binaries come without pg_dump and pg_restore")
        self.url = url
        self.other = PostgresServer()
        self.restored_url = self.other.create_database("hub")

    def save(self, data: Path, backup: Path) -> None:
        """``pg_dump --format=custom``"""
        self._run("pg_dump", "--format=custom", f"--file={backup / 'db'}", url=self.url)

    def load(self, backup: Path, data: Path) -> None:
        """``pg_restore --single-transaction``"""
        self._run("pg_restore", "--single-transaction", "--no-owner", str(backup / "db"), url=self.restored_url)

    def close(self) -> None:
        """End the other server."""
        self.other.close()

    def _run(self, program: str, *arguments: str, url: str) -> None:
        command = [find_binaries() / program, f"--dbname={url.replace('+psycopg', '', 1)}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def engine(database_url: str) -> Iterator[SqliteBackup | PostgresBackup]:
    """How the test's kind of database is backed up."""
    kind = PostgresBackup(database_url) if database_url else SqliteBackup()
    yield kind
    kind.close()


def test_backup_of_a_running_hub(
    engine: SqliteBackup | PostgresBackup,
    make_process: Callable[..., Any],
    connect: Callable[..., Any],
    database_url: str,
    tmp_path: Path,
) -> None:
    """Pause collections, dump the database, copy the objects, end the pause; restore, start, fsck --deep, compare."""
    backup = tmp_path / "backup"
    backup.mkdir()
    served = make_process("--job-poll-s", "0.1", "--collect-interval-s", "1", name="original")
    served.start()
    client = connect(served)
    repo = client.new_repo()
    client.push(client.new_repo("admin/model2", "private"), {"same": b"same" * 5000})
    pusher = Pusher(connect(served), repo)
    pusher.start()
    assert pusher.enough.wait(120)

    run("gc", "--pause", "3600", data=served.data, url=database_url)
    before = dict(pusher.committed)
    engine.save(served.data, backup)
    shutil.copytree(served.data / "objects/blobs", backup / "blobs")
    run("gc", "--pause", "0", data=served.data, url=database_url)
    pusher.stopping.set()
    pusher.join(60)

    restored = make_process("--job-poll-s", "0.1", name="restored")
    restored.database_url = engine.restored_url
    restored.data.mkdir()
    engine.load(backup, restored.data)
    shutil.copytree(backup / "blobs", restored.data / "objects/blobs")
    first = run("fsck", "--deep", "--json", "--quiet", data=restored.data, url=engine.restored_url)
    assert json.loads(first)["damages"] == 0, first
    restored.start()
    reader = connect(restored)
    for path, content in before.items():
        assert reader.resolve(repo, path).content == content, path
    assert reader.resolve("admin/model2", "same").content == b"same" * 5000
    assert reader.as_user(None).resolve("admin/model2", "same").status_code == 404
    assert before.items() <= pusher.committed.items()
    head = reader.get(f"/repos/{repo}").json()["head"]
    reader.push(repo, {"after the restore": b"works"}, head)
    run("fsck", "--deep", "--quiet", data=restored.data, url=engine.restored_url)


def test_a_store_older_than_its_database(
    make_process: Callable[..., Any], connect: Callable[..., Any], database_url: str, tmp_path: Path
) -> None:
    """Files whose objects are not in the copy are named, refused as damaged, and whole again when pushed again."""
    served = make_process("--no-worker")
    served.start()
    client = connect(served)
    repo = client.new_repo()
    head = client.push(repo, {"old": b"old" * 5000})
    shutil.copytree(served.data / "objects/blobs", tmp_path / "older")
    client.push(repo, {"new": b"new" * 5000}, head)
    shutil.rmtree(served.data / "objects/blobs")
    shutil.copytree(tmp_path / "older", served.data / "objects/blobs")
    found = json.loads(run("fsck", "--json", "--quiet", data=served.data, url=database_url, status=6))
    [finding] = [finding for finding in found["findings"] if finding["is_damage"]]
    assert (finding["kind"], finding["files"]) == ("missing-object", [f"{repo}:new"])
    assert client.resolve(repo, "old").content == b"old" * 5000
    assert client.resolve(repo, "new").json()["code"] == "BLOB_DAMAGED"
    client.upload(repo, b"new" * 5000)
    assert client.resolve(repo, "new").content == b"new" * 5000
    assert json.loads(run("fsck", "--json", "--quiet", data=served.data, url=database_url))["damages"] == 0


def run(command: str, *arguments: str, data: Path, url: str, status: int = 0) -> str:
    """Run a command of the service as its users do; what it printed."""
    program = [sys.executable, "-m", "freebits", command, "--data", str(data), *arguments]
    environment = {**os.environ, "FREEBITS_DATABASE_URL": url}
    done = subprocess.run(program, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == status, (done.stdout, done.stderr)
    return done.stdout
