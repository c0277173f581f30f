"""A hub for every test: the real app over real files, in this process or as a process of its own.

A test that takes a hub runs twice, on SQLite and on a Postgres database of its own in a server that the session
starts. ``@pytest.mark.parametrize("engine_name", ["postgres"], indirect=True)`` keeps it to one of them.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import httpx
import pytest
from botocore.config import Config
from fastapi.testclient import TestClient
from postgres import PostgresServer
from s3 import S3Server

from freebits_service import logs
from freebits_service.accounts.operations import ensure_admin
from freebits_service.app import create_app
from freebits_service.context import Hub, open_hub
from freebits_service.db import Database
from freebits_service.jobs.queries import claim_job
from freebits_service.migrate import upgrade
from freebits_service.settings import Settings
from freebits_service.workers.encode import EncodeSteps
from freebits_service.workers.encoder import EncoderProcess

ADMIN_TOKEN = "admin-token-of-the-tests"
API = "/api/v1"
PART_NBYTES = 64 * 1024

logs.configure("error")


@dataclass
class HubClient:
    """Speaks the REST API as one user, over any transport httpx knows."""

    http: httpx.Client
    token: str | None = ADMIN_TOKEN

    def as_user(self, token: str | None) -> HubClient:
        """The same hub with another token; None is a stranger."""
        return HubClient(self.http, token)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request below ``/api/v1``."""
        headers = dict(options.pop("headers", {}))
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        return self.http.request(method, API + path, headers=headers, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """GET below ``/api/v1``."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        """POST below ``/api/v1``."""
        return self.request("POST", path, **options)

    def new_repo(self, name: str = "admin/model", visibility: str = "public") -> str:
        """Create a repo; its name."""
        reply = self.post("/repos", json={"name": name, "visibility": visibility})
        assert reply.status_code == 201, reply.text
        return name

    def begin(self, repo: str, content: bytes, **changes: Any) -> httpx.Response:
        """Announce an upload of `content` as it is."""
        digest = hashlib.sha256(content).hexdigest()
        body = {
            "sha256": digest,
            "nbytes": len(content),
            "encoding": "identity",
            "stored_nbytes": len(content),
            "stored_sha256": digest,
            **changes,
        }
        return self.post(f"/repos/{repo}/uploads", json=body)

    def put_part(
        self, repo: str, upload: dict[str, Any], number: int, content: bytes, **options: Any
    ) -> httpx.Response:
        """Send part `number` of `content`."""
        start = number * upload["part_nbytes"]
        part = content[start : start + upload["part_nbytes"]]
        return self.request("PUT", f"/repos/{repo}/uploads/{upload['id']}/parts/{number}", content=part, **options)

    def complete(self, repo: str, upload: dict[str, Any]) -> httpx.Response:
        """Complete an upload."""
        return self.post(f"/repos/{repo}/uploads/{upload['id']}/complete")

    def upload(self, repo: str, content: bytes, stored: bytes | None = None) -> str:
        """Upload `content` whole, as the container `stored` if given; its digest."""
        sent = content if stored is None else stored
        changes = (
            {}
            if stored is None
            else {
                "encoding": "freebits",
                "stored_nbytes": len(sent),
                "stored_sha256": hashlib.sha256(sent).hexdigest(),
            }
        )
        reply = self.begin(repo, content, **changes)
        assert reply.status_code in {200, 201}, reply.text
        upload = reply.json()
        if upload["state"] == "receiving":
            for number in range(upload["part_count"]):
                sent_part = self.put_part(repo, upload, number, sent)
                assert sent_part.status_code == 200, sent_part.text
            done = self.complete(repo, upload)
            assert done.status_code == 200, done.text
            assert done.json()["state"] == "complete"
        return hashlib.sha256(content).hexdigest()

    def commit(
        self, repo: str, files: dict[str, bytes | None], parent: str | None = None, **changes: Any
    ) -> httpx.Response:
        """Commit files that have been uploaded; None deletes."""
        operations = [
            {"op": "delete", "path": path}
            if content is None
            else {
                "op": "add",
                "path": path,
                "sha256": hashlib.sha256(content).hexdigest(),
                "nbytes": len(content),
            }
            for path, content in files.items()
        ]
        body = {"branch": "main", "parent": parent, "message": "test", "operations": operations, **changes}
        return self.post(f"/repos/{repo}/commits", json=body)

    def push(self, repo: str, files: dict[str, bytes | None], parent: str | None = None, **changes: Any) -> str:
        """Upload and commit; the commit id."""
        for content in {content for content in files.values() if content is not None}:
            self.upload(repo, content)
        reply = self.commit(repo, files, parent, **changes)
        assert reply.status_code == 201, reply.text
        commit_id: str = reply.json()["id"]
        return commit_id

    def resolve(
        self, repo: str, path: str, revision: str = "main", method: str = "GET", **options: Any
    ) -> httpx.Response:
        """Read a file."""
        return self.request(method, f"/repos/{repo}/resolve/{quote(revision, safe='')}/{quote(path)}", **options)

    def new_user(self, name: str) -> HubClient:
        """Create a user and speak as it."""
        reply = self.post("/users", json={"name": name})
        assert reply.status_code == 201, reply.text
        return self.as_user(reply.json()["token"])


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """An S3 server for all tests that do not kill theirs.

    FREEBITS_TEST_S3_ENDPOINT names another one, to be used with the credentials of the environment.
    """
    own = os.environ.get("FREEBITS_TEST_S3_ENDPOINT")
    if own:
        yield own
        return
    server = S3Server()
    with closing(server), pytest.MonkeyPatch.context() as patched:
        for name, value in server.environment().items():
            patched.setenv(name, value)
        yield server.endpoint


@pytest.fixture(scope="session")
def s3_bucket(s3_endpoint: str) -> Iterator[str]:
    """One bucket for the whole run, emptied and removed at its end."""
    name = f"freebits-test-{secrets.token_hex(6)}"
    client = s3_client(s3_endpoint)
    client.create_bucket(Bucket=name)
    yield name
    for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=name):
        for found in page.get("Uploads", ()):
            client.abort_multipart_upload(Bucket=name, Key=found["Key"], UploadId=found["UploadId"])
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
        for found in page.get("Contents", ()):
            client.delete_object(Bucket=name, Key=found["Key"])
    client.delete_bucket(Bucket=name)


def s3_client(endpoint: str) -> Any:
    """Bare boto3, for what the tests do beside the hub."""
    return boto3.client("s3", endpoint_url=endpoint, config=Config(s3={"addressing_style": "path"}))


@pytest.fixture
def s3_place(s3_endpoint: str, s3_bucket: str) -> dict[str, Any]:
    """Settings that put the objects of a test into a part of the bucket of its own."""
    prefix = secrets.token_hex(6)
    return {"s3_bucket": s3_bucket, "s3_prefix": prefix, "s3_endpoint": s3_endpoint, "s3_addressing": "path"}


@pytest.fixture(autouse=True)
def _log_where_the_tests_do() -> Iterator[None]:
    """A command that ran in this process logs to the standard error it found, which its test has closed by now."""
    yield
    logs.configure("error")


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Settings]:
    """Settings for a hub in the test's folder, with small parts and short times."""

    def make(**changes: Any) -> Settings:
        defaults: dict[str, Any] = {
            "data": tmp_path / "hub",
            "part_nbytes": PART_NBYTES,
            "grace_s": 0,
            "delete_grace_s": 0,
            "encode_min_nbytes": 1,
            "job_backoff_s": 0.01,
            "min_free_nbytes": 0,
            "admin_token": ADMIN_TOKEN,
        }
        return Settings(**{**defaults, **changes})

    return make


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with all tables and the admin, to be copied: migrating takes a second."""
    settings = Settings(data=tmp_path_factory.mktemp("template"))
    _migrate_and_make_admin(settings)
    return settings.data / "hub.sqlite3"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One Postgres server for the session, without fsync."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database with all tables and the admin, to be copied."""
    url = postgres.create_database("hub_template")
    _migrate_and_make_admin(Settings(data=tmp_path_factory.mktemp("template"), database_url=url))
    return "hub_template"


def _migrate_and_make_admin(settings: Settings) -> None:
    upgrade(settings.sqlalchemy_url)
    hub = open_hub(settings)
    ensure_admin(hub.db, ADMIN_TOKEN)
    hub.db.close()


@pytest.fixture(params=["sqlite", "postgres"])
def engine_name(request: pytest.FixtureRequest) -> str:
    """Which database the test runs on."""
    name: str = request.param
    return name


@pytest.fixture
def database_url(request: pytest.FixtureRequest, engine_name: str) -> Iterator[str]:
    """The setting of that name: a migrated Postgres database of the test's own, or empty for SQLite."""
    if engine_name == "sqlite":
        yield ""
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield server.create_database(name, request.getfixturevalue("postgres_template"))
    server.drop_database(name)


@pytest.fixture
def make_hub(
    make_settings: Callable[..., Settings], migrated_database: Path, database_url: str
) -> Iterator[Callable[..., Hub]]:
    """Open migrated hubs in the test's folder and database; all are closed at the end."""
    opened: list[Hub] = []

    def make(**changes: Any) -> Hub:
        settings = make_settings(**{"database_url": database_url, **changes})
        settings.data.mkdir(parents=True, exist_ok=True)
        if not settings.database_url and not (settings.data / "hub.sqlite3").exists():
            shutil.copy(migrated_database, settings.data)
        hub = open_hub(settings)
        opened.append(hub)
        return hub

    yield make
    for hub in opened:
        hub.db.close()


@pytest.fixture
def make_client(make_hub: Callable[..., Hub]) -> Iterator[Callable[[Hub], HubClient]]:
    """Clients of hubs in this process; they end before their hubs do."""
    running: list[TestClient] = []

    def make(hub: Hub) -> HubClient:
        client = TestClient(create_app(hub.settings, hub), raise_server_exceptions=False)
        running.append(client.__enter__())
        return HubClient(client)

    yield make
    for client in running:
        client.__exit__(None, None, None)


@pytest.fixture
def hub(make_hub: Callable[..., Hub]) -> Hub:
    """One hub in this process."""
    return make_hub()


@pytest.fixture
def client(make_client: Callable[[Hub], HubClient], hub: Hub) -> HubClient:
    """The admin, talking to `hub`."""
    return make_client(hub)


@pytest.fixture
def steps(hub: Hub) -> Iterator[EncodeSteps]:
    """The steps of a worker over `hub`, in this process."""
    encoder = EncoderProcess(hub.settings)
    yield EncodeSteps(hub, encoder, "w1")
    encoder.stop()


@pytest.fixture
def encode_all(steps: EncodeSteps) -> Callable[[], None]:
    """Runs the queued jobs; what is encoded is verified twice, as after a crash."""

    def run() -> None:
        while True:
            with steps.hub.db.transaction() as session:
                job = claim_job(session, ["cpu"], steps.worker_id)
            if job is None:
                return
            container = steps.encode(job.id, job.attempt)
            if container is not None:
                for step in (steps.verify, steps.verify, steps.swap):
                    step(job.id, job.attempt, container)

    return run


@dataclass
class HubProcess:
    """``freebits serve`` as a process; may be killed and started again on the same data and port."""

    data: Path
    port: int
    database_url: str = ""
    flags: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the process without waiting for it."""
        environment = {
            **os.environ,
            "FREEBITS_ADMIN_TOKEN": ADMIN_TOKEN,
            "FREEBITS_DATABASE_URL": self.database_url,
        }
        log = (self.data.parent / f"{self.data.name}.log").open("ab")
        with log:
            return subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "freebits_service",
                    "--data",
                    str(self.data),
                    "--port",
                    str(self.port),
                    "--part-nbytes",
                    str(PART_NBYTES),
                    "--encode-min-nbytes",
                    "1",
                    "--job-backoff-s",
                    "0.1",
                    "--min-free-nbytes",
                    "0",
                    *self.flags,
                ],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def start(self) -> None:
        """Start and wait until it answers."""
        self.process = self.spawn()
        deadline = time.monotonic() + 60
        with httpx.Client(base_url=self.url, timeout=5, verify=False) as probe:  # no certificates: they take 40 ms
            while time.monotonic() < deadline:
                assert self.process.poll() is None, self.log()
                try:
                    if probe.get("/readyz").status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                time.sleep(0.05)
        pytest.fail(f"the hub did not answer within 60 s:\n{self.log()}")

    def end(self, number: int) -> int:
        """Send a signal and wait for the end; the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.communicate(timeout=30)
        return self.process.returncode

    def open_database(self) -> Database:
        """What it keeps its rows in; close it."""
        return Database(self.database_url or f"sqlite:///{self.data / 'hub.sqlite3'}")

    def log(self) -> str:
        """What it logged."""
        return (self.data.parent / f"{self.data.name}.log").read_text()


@pytest.fixture
def make_process(tmp_path: Path, database_url: str) -> Iterator[Callable[..., HubProcess]]:
    """Hub processes in the test's folder and database; all are killed at the end."""
    yield from _hub_processes(tmp_path, database_url)


@pytest.fixture(scope="module")
def make_lasting_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., HubProcess]]:
    """Hub processes on SQLite that the tests of a module share."""
    yield from _hub_processes(tmp_path_factory.mktemp("lasting"), "")


def _hub_processes(folder: Path, database_url: str) -> Iterator[Callable[..., HubProcess]]:
    made: list[HubProcess] = []

    def make(*flags: str, name: str = "served") -> HubProcess:
        made.append(HubProcess(folder / name, free_port(), database_url, list(flags)))
        return made[-1]

    yield make
    for served in made:
        if served.process is not None and served.process.poll() is None:
            served.end(signal.SIGKILL)


@pytest.fixture
def connect() -> Iterator[Callable[[HubProcess], HubClient]]:
    """Clients of hub processes, as the admin."""
    opened: list[httpx.Client] = []

    def make(served: HubProcess) -> HubClient:
        opened.append(httpx.Client(base_url=served.url, timeout=60, verify=False))
        return HubClient(opened[-1])

    yield make
    for client in opened:
        client.close()


def free_port() -> int:
    """A port nobody listens on now."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
        return port
