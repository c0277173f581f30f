"""A full disk: 507 with a clear message, nothing half-committed, and everything goes on when there is room again."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from upstream import Line, Listing, listing_upstream

from freebits_service.context import Hub
from freebits_service.errors import StorageFull, StoreUnavailable
from freebits_service.jobs import queries
from freebits_service.models import Job
from freebits_service.workers.encode import EncodeSteps
from freebits_service.workers.encoder import EncoderProcess

SMALL = random.Random(5).randbytes(300_000)
LARGE = random.Random(6).randbytes(3_000_000)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(ballast: Path) -> None:
    """Take all the room there is."""
    fd = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        while os.write(fd, bytes(4096)):
            pass
    os.close(fd)


def test_a_file_that_cannot_fit_is_refused_at_once(
    small_disk: Path, make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any]
) -> None:
    """Before any byte is sent."""
    client = make_client(make_hub(data=small_disk / "hub"))
    reply = client.begin(client.new_repo(), bytes(13_000_000))
    assert (reply.status_code, reply.json()["code"]) == (507, "STORAGE_FULL")


def test_a_disk_that_fills_up_during_an_upload(
    small_disk: Path, make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any]
) -> None:
    """The part is refused, what was committed is served, and the upload goes on when there is room."""
    hub = make_hub(data=small_disk / "hub")
    client = make_client(hub)
    repo = client.new_repo()
    head = client.push(repo, {"a": SMALL})
    upload = client.begin(repo, LARGE).json()
    ballast = small_disk / "ballast"
    free = hub.store.free_nbytes()
    assert free is not None
    ballast.write_bytes(bytes(free - 1_500_000))
    statuses = [client.put_part(repo, upload, n, LARGE).status_code for n in range(upload["part_count"])]
    assert set(statuses) == {200, 507}
    assert client.put_part(repo, upload, upload["part_count"] - 1, LARGE).json()["code"] == "STORAGE_FULL"
    assert client.resolve(repo, "a").content == SMALL
    refused = client.complete(repo, upload)
    assert refused.json()["code"] in {"PARTS_MISSING", "STORAGE_FULL"}
    ballast.unlink()
    received = set(client.get(f"/repos/{repo}/uploads/{upload['id']}").json()["received"])
    for number in set(range(upload["part_count"])) - received:
        assert client.put_part(repo, upload, number, LARGE).status_code == 200
    assert client.complete(repo, upload).status_code == 200
    client.commit(repo, {"b": LARGE}, head)
    assert client.resolve(repo, "b").content == LARGE


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_a_disk_that_fills_up_while_a_file_comes_from_the_upstream(
    small_disk: Path, make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any]
) -> None:
    """Refused before it begins where there is no room for it; cut off, and nothing kept, where that goes away."""
    ballast = small_disk / "ballast"
    url = "/a/b/resolve/main/model.bin"
    with listing_upstream(Listing({"model.bin": LARGE}, lfs=frozenset({"model.bin"}))) as address:
        line = Line(int(address.rpartition(":")[2]))
        hub = make_hub(data=small_disk / "hub", upstream=line.url)
        http = make_client(hub).http
        assert http.head(url).status_code == 200
        free = hub.store.free_nbytes()
        assert free is not None
        ballast.write_bytes(bytes(free - 4_500_000))
        assert http.get(url).json()["code"] == "STORAGE_FULL"
        ballast.unlink()
        line.stops_after = 1_500_000
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(http.get, url)
            assert line.stopped.wait(30)
            fill(ballast)
            line.stops_after = None
            line.is_open.set()
            reply = reading.result()
        assert reply.content != LARGE
        ballast.unlink()
        assert http.get(url).content == LARGE
        line.close()


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_a_disk_that_is_full_for_the_database(
    small_disk: Path, make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any]
) -> None:
    """The commit is refused whole; reading goes on; afterwards the same commit works."""
    hub = make_hub(data=small_disk / "hub")
    client = make_client(hub)
    repo = client.new_repo()
    head = client.push(repo, {"a": SMALL})
    ballast = small_disk / "ballast"
    fill(ballast)
    files = {f"some/long/path/to/make/the/database/grow/{n:05}": SMALL for n in range(3000)}
    reply = client.commit(repo, files, head)
    assert (reply.status_code, reply.json()["code"]) == (507, "STORAGE_FULL")
    assert client.resolve(repo, "a").content == SMALL
    assert client.get(f"/repos/{repo}").json()["head"] == head
    ballast.unlink()
    assert client.commit(repo, {"b": SMALL}, head).status_code == 201


def test_a_store_that_is_full_or_away_while_encoding(hub: Hub, client: Any) -> None:
    """The job waits and is never parked; the raw bytes are served."""
    repo = client.new_repo()
    client.push(repo, {"a": SMALL})
    steps = EncodeSteps(hub, EncoderProcess(hub.settings), "w")
    for error in [StorageFull(), StoreUnavailable()] * hub.settings.job_max_attempts:
        with hub.db.transaction() as session:
            session.execute(update(Job).values(not_before=Job.created_at))
            job = queries.claim_job(session, ["cpu"], "w")
        assert job is not None
        steps.record_failure(job.id, job.attempt, error)
    [shown] = client.get("/jobs").json()["items"]
    assert (shown["state"], shown["failures"]) == ("queued", 0)
    assert client.resolve(repo, "a").content == SMALL


def test_every_way_to_be_full_is_one_error(tmp_path: Path) -> None:
    """Also without root: a file-size limit is met in a child process that has one."""
    script = (
        "import resource, signal, sys, pathlib\n"
        "from freebits_service.blobs.local import LocalBlobStore\n"
        "from freebits_service.errors import StorageFull\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "store = LocalBlobStore(pathlib.Path(sys.argv[1]))\n"
        "store.begin('key')\n"
        "with store.write_part('key', 0, 0) as part:\n"
        "    try:\n"
        "        part.write([bytes(150_000)])\n"
        "    except StorageFull:\n"
        "        print('full')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "full\n"
