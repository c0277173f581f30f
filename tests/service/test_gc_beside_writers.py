"""The collector, with zero grace, beside all that push, delete, encode and read: no committed byte is ever lost."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import DBAPIError

from freebits_service.blobs.keys import FOLDERS
from freebits_service.clock import in_seconds
from freebits_service.collection import lease
from freebits_service.collection.operations import Collected, collect
from freebits_service.context import Hub, open_hub
from freebits_service.errors import CollectionRunning
from freebits_service.models import Lease
from freebits_service.repair.findings import Report
from freebits_service.repair.operations import fsck
from freebits_service.settings import Settings

WRITERS = 4
ROUNDS = 14
SHARED = [random.Random(n).randbytes(3000) + bytes(20_000 + n) for n in range(4)]
# Uploads are given up within seconds here, so a slow writer may be told to begin again; nothing else may fail.
BEGIN_AGAIN = {"UPLOAD_NOT_FOUND", "BLOB_MISSING"}
TIMES = {"grace_s": 0, "delete_grace_s": 0, "upload_ttl_s": 2}


class Writer(threading.Thread):
    """Pushes, deletes whole repos, pushes what others push, and reads back what it committed."""

    def __init__(self, client: Any, number: int, faults: list[str]) -> None:
        super().__init__(daemon=True)
        self.client, self.number, self.faults = client, number, faults
        self.rng = random.Random(number)
        self.committed: dict[str, dict[str, bytes]] = {}
        self.done = Counter[str]()

    def run(self) -> None:
        """Some rounds; whatever goes wrong is noted."""
        try:
            for number in range(ROUNDS):
                self._round(f"admin/w{self.number}-{number % 3}", number)
        except BaseException as error:
            self.faults.append(f"writer {self.number}: {error!r}")
            raise

    def _round(self, repo: str, number: int) -> None:
        if repo in self.committed and self.rng.random() < 0.5:
            del self.committed[repo]
            assert self.client.request("DELETE", f"/repos/{repo}").status_code == 204
            self.done["deleted"] += 1
        if repo not in self.committed:
            self.client.new_repo(repo)
            self.committed[repo] = {}
        own = self.rng.randbytes(2000) + bytes(30_000)
        files = {f"own{number}": own, f"shared{number}": self.rng.choice(SHARED)}
        while not self._push(repo, files):
            self.done["begun again"] += 1
        self.committed[repo].update(files)
        self._read_back()

    def _push(self, repo: str, files: dict[str, bytes]) -> bool:
        for content in files.values():
            reply = self.client.begin(repo, content)
            assert reply.status_code in {200, 201}, reply.text
            upload = reply.json()
            if upload["state"] == "complete":
                self.done["known"] += 1
                continue
            for reply in (self.client.put_part(repo, upload, 0, content), self.client.complete(repo, upload)):
                if not self._went_well(reply):
                    return False
        head = self.client.get(f"/repos/{repo}").json()["head"]
        return self._went_well(self.client.commit(repo, files, head))

    def _went_well(self, reply: httpx.Response) -> bool:
        if reply.is_success:
            return True
        assert reply.json()["code"] in BEGIN_AGAIN, reply.text
        return False

    def _read_back(self) -> None:
        repo = self.rng.choice(list(self.committed))
        path, content = self.rng.choice(list(self.committed[repo].items()))
        reply = self.client.resolve(repo, path)
        assert (reply.status_code, reply.content == content) == (200, True), (repo, path, reply.text[:300])
        self.done["read"] += 1


class Collector(threading.Thread):
    """Collects without a pause until told to stop, and counts."""

    def __init__(self, hub: Hub, faults: list[str]) -> None:
        super().__init__(daemon=True)
        self.hub, self.faults, self.stopping = hub, faults, threading.Event()
        self.total = Counter[str]()

    def run(self) -> None:
        """Collection after collection."""
        try:
            while not self.stopping.is_set():
                self._collect_once()
        except BaseException as error:
            self.faults.append(f"collector: {error!r}")
            raise

    def _collect_once(self) -> None:
        try:
            collected = collect(self.hub, least_grace_s=0, staging_grace_s=60)
        except CollectionRunning:
            self.total["refused"] += 1
            time.sleep(0.01)
            return
        for name in Collected.__slots__:
            self.total[name] += getattr(collected, name)


def test_writers_and_collectors(
    make_process: Callable[..., Any], connect: Callable[..., Any], database_url: str
) -> None:
    """Two collectors in a loop (one works at a time), four writers, a worker that encodes: every commit reads back."""
    flags = [flag for name, value in TIMES.items() for flag in (f"--{name.replace('_', '-')}", str(value))]
    served = make_process(*flags, "--collect-interval-s", "0.5", "--job-poll-s", "0.1")
    served.start()
    settings = Settings(data=served.data, database_url=database_url, worker_dead_after_s=60, **TIMES)
    hub, faults = open_hub(settings), list[str]()
    collectors = [Collector(hub, faults) for _ in range(2)]
    writers = [Writer(connect(served), number, faults) for number in range(WRITERS)]
    for thread in (*collectors, *writers):
        thread.start()
    for writer in writers:
        writer.join(240)
    for collector in collectors:
        collector.stopping.set()
        collector.join(60)
    assert faults == []
    reader = connect(served)
    for writer in writers:
        for repo, files in writer.committed.items():
            for path, content in files.items():
                found = hashlib.sha256(reader.resolve(repo, path).content).digest()
                assert found == hashlib.sha256(content).digest(), (repo, path)
    done = sum((writer.done for writer in writers), Counter())
    total = sum((collector.total for collector in collectors), Counter())
    assert min(done["deleted"], done["read"], total["repos"], total["blobs"], total["uploads"]) > 0, (done, total)
    assert [finding for finding in fsck(hub, Report(), depth="deep").findings if finding.is_damage] == []
    hub.db.close()


def test_a_collection_that_lost_its_lease_stops(hub: Hub, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was thought dead and was not notices between two batches; the lease of a dead one runs out."""
    monkeypatch.setattr(lease, "EXPIRES_AFTER_S", 0.0)
    monkeypatch.setattr(lease, "EXTEND_EVERY_S", 0.0)

    def overtaken() -> None:
        with lease.only_one(hub.db, lease.COLLECTION) as slow:
            slow.keep()
            with lease.only_one(hub.db, lease.COLLECTION) as second:
                second.keep()
            slow.keep()

    with pytest.raises(CollectionRunning):
        overtaken()
    assert collect(hub, least_grace_s=0) == Collected()


def test_the_store_is_listed_folder_by_folder(make_hub: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    """A periodic collection lists as much as is due, goes on where the last one ended, and has seen all in a round."""
    hub = make_hub(orphan_interval_s=1000)
    listed: list[str] = []
    listing = hub.store.list
    monkeypatch.setattr(hub.store, "list", lambda prefix: listed.append(prefix) or listing(prefix))
    for elapsed_s in (0, 250, 500, 999, 1001, 250):
        with hub.db.transaction() as session:
            row = session.get(Lease, "collection")
            if row is not None:
                row.place_at = in_seconds(-elapsed_s)
        collect(hub, least_grace_s=0, whole=False)
        if elapsed_s == 500:
            assert abs(len(listed) - len(FOLDERS) / 2) <= 2
    assert listed[: len(FOLDERS)] == list(FOLDERS)
    assert len(FOLDERS) < len(listed) < 2 * len(FOLDERS)
    listed.clear()
    collect(hub, least_grace_s=0)
    assert sorted(listed) == sorted(FOLDERS)


@pytest.mark.usefixtures("client")
def test_database_errors_are_not_swallowed(hub: Hub) -> None:
    """A collection without its tables says so."""
    with hub.db.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE lease")
    with pytest.raises(DBAPIError):
        collect(hub, least_grace_s=0)
