"""Client, hub, worker and S3 server as processes: bytes go past the hub, an outage of the store costs only time."""

from __future__ import annotations

import json
import os
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from email.message import Message
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.config import Config
from s3 import S3Server

import freebits

BUCKET = "models"
DEADLINE_S = 300


@pytest.fixture(scope="module")
def store() -> Iterator[S3Server]:
    """An S3 server that the tests kill, with its credentials in the environment."""
    with closing(S3Server()) as server, pytest.MonkeyPatch.context() as patched:
        for name, value in server.environment().items():
            patched.setenv(name, value)
        bucket_of(server).create_bucket(Bucket=BUCKET)
        yield server


def bucket_of(store: S3Server) -> Any:
    """Bare boto3, to look at the store beside the hub."""
    return boto3.client("s3", endpoint_url=store.endpoint, config=Config(s3={"addressing_style": "path"}))


@pytest.fixture(scope="module")
def s3_hub(store: S3Server, start_hub: Callable[..., Any]) -> Any:
    """`freebits serve` on the store."""
    flags = ("--s3-bucket", BUCKET, "--s3-endpoint", store.endpoint, "--s3-addressing", "path")
    return start_hub(*flags, "--job-backoff-s", "0.2")


@pytest.fixture
def link(link_to: Callable[[Any], Any], s3_hub: Any) -> Any:
    """A link to the hub (not to the store) that counts bytes."""
    return link_to(s3_hub)


def wait_until(condition: Callable[[], Any]) -> None:
    """Poll until `condition` holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.05)


def authorized() -> dict[str, str]:
    """The token of the environment as a header."""
    return {"Authorization": f"Bearer {os.environ['FREEBITS_TOKEN']}"}


def get(hub: Any, path: str) -> tuple[int, Any, Message]:
    """Status, JSON and headers of an answer."""
    request = urllib.request.Request(hub.endpoint + path, headers=authorized())
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, json.load(reply), reply.headers
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), error.headers


def state_of(hub: Any, repo: str) -> set[str]:
    """The states of the files of a repo."""
    _, body, _ = get(hub, f"/api/v1/repos/{repo}/tree/main?recursive=true")
    return {item["state"] for item in body["items"]}


def job_of(hub: Any) -> Any:
    """The newest job."""
    return get(hub, "/api/v1/jobs?limit=1")[1]["items"][0]


def test_the_hub_is_not_in_the_path_of_the_bytes(link: Any, home: Path) -> None:
    """24 MiB go up and down; the link to the hub carries a few requests, and no part is left behind."""
    model = home / "model.bin"
    model.write_bytes(random.Random(1).randbytes(24 << 20))
    with freebits.Hub() as hub:
        hub.push(model, "admin/direct", encode=False)
        assert link.up_nbytes < 100_000
        hub.pull("admin/direct", home / "out")
    assert link.down_nbytes < 100_000
    assert (home / "out/model.bin").read_bytes() == model.read_bytes()


def test_a_pushed_file_is_encoded_and_comes_as_its_container(s3_hub: Any, link: Any, home: Path) -> None:
    """The worker writes the container into the store; the pull decodes it."""
    model = home / "model.bin"
    model.write_bytes(np.random.default_rng(2).integers(0, 16, 16 << 20, np.uint8).tobytes())
    with freebits.Hub() as hub:
        hub.push(model, "admin/encoded", encode=False)
        wait_until(lambda: state_of(s3_hub, "admin/encoded") == {"encoded"})
        link.down_nbytes = 0
        pulled = hub.pull("admin/encoded", home / "out")
    assert pulled.received_nbytes < model.stat().st_size * 0.6
    assert link.down_nbytes < 100_000
    assert (home / "out/model.bin").read_bytes() == model.read_bytes()


@pytest.mark.fault
def test_the_store_dies_in_the_middle_of_a_push(store: S3Server, link: Any, home: Path) -> None:
    """`kill -9`, then a restart: the push goes on by itself, and nothing is lost."""
    model = home / "model.bin"
    model.write_bytes(random.Random(3).randbytes(96 << 20))
    failures: list[BaseException] = []

    def push() -> None:
        try:
            with freebits.Hub(retries=12) as hub:
                hub.push(model, "admin/cut", encode=False)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=push)
    thread.start()
    wait_until(lambda: parts_in(store) >= 2 or not thread.is_alive())
    store.kill()
    time.sleep(1)
    store.start()
    thread.join(DEADLINE_S)
    assert not thread.is_alive()
    assert failures == []
    with freebits.Hub() as hub:
        hub.pull("admin/cut", home / "out")
    assert (home / "out/model.bin").read_bytes() == model.read_bytes()


def parts_in(store: S3Server) -> int:
    """Parts of uploads in progress."""
    client = bucket_of(store)
    uploads = client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    return sum(
        len(client.list_parts(Bucket=BUCKET, Key=found["Key"], UploadId=found["UploadId"]).get("Parts", []))
        for found in uploads
    )


@pytest.mark.fault
def test_the_store_dies_in_the_middle_of_an_encoding(s3_hub: Any, store: S3Server, link: Any, home: Path) -> None:
    """While it is away everybody is told so; when it is back the job finishes with all its attempts left."""
    model = home / "model.bin"
    model.write_bytes(np.random.default_rng(4).integers(0, 16, 40 << 20, np.uint8).tobytes())
    with freebits.Hub() as hub:
        hub.push(model, "admin/outage", encode=False)
        wait_until(lambda: job_of(s3_hub)["state"] == "running" or state_of(s3_hub, "admin/outage") == {"encoded"})
        store.kill()
        wait_until(lambda: get(s3_hub, "/readyz")[0] == 503)
        checks = get(s3_hub, "/readyz")[1]["checks"]
        assert {name for name, check in checks.items() if check["status"] != "ok"} == {"store"}
        assert get(s3_hub, "/healthz")[0] == 200
        assert get(s3_hub, "/api/v1/repos/admin/outage")[0] == 200
        assert begin(s3_hub, "admin/outage") == (503, "STORE_UNAVAILABLE")
        time.sleep(3)
        store.start()
        wait_until(lambda: get(s3_hub, "/readyz")[0] == 200)
        wait_until(lambda: state_of(s3_hub, "admin/outage") == {"encoded"})
        assert (job_of(s3_hub)["failures"], job_of(s3_hub)["outcome"]) == (0, "encoded")
        hub.pull("admin/outage", home / "out")
    assert (home / "out/model.bin").read_bytes() == model.read_bytes()


def begin(hub: Any, repo: str) -> tuple[int, str]:
    """Announce an upload: the status and the code of the answer."""
    digest = "0" * 64
    body = {"sha256": digest, "nbytes": 1, "stored_nbytes": 1, "stored_sha256": digest}
    request = urllib.request.Request(
        f"{hub.endpoint}/api/v1/repos/{repo}/uploads",
        json.dumps(body).encode(),
        {**authorized(), "Content-Type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    return refused.value.code, json.load(refused.value)["code"]
