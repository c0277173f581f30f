"""Uploads of Hugging Face clients while the hub is killed, the disk is full, and somebody sends the same."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hf_client import HfClient, file_line, lfs_line
from xet_client import MadeFile, MadeSegment, MadeShard, MadeXorb, cut

from freebits_service.context import Hub

CONTENT = random.Random(11).randbytes(24 << 20)
XORB = MadeXorb(cut(CONTENT))
FILE = MadeFile([MadeSegment(XORB, 0, len(XORB.chunks))])
SHARD = MadeShard([FILE]).data


def address(hf: HfClient, repo: str) -> tuple[str, dict[str, str]]:
    """Where uploads go, and the headers that they need."""
    token = hf.get(f"/api/models/{repo}/xet-write-token/main").json()
    return urlsplit(token["casUrl"]).path, {"Authorization": f"Bearer {token['accessToken']}"}


def test_the_same_at_once(hf: HfClient) -> None:
    """Xorbs, shards and commits of the same file by four clients: one blob, and everybody is served."""
    assert hf.create("m").status_code == 200
    path, headers = address(hf, "admin/m")

    def send(number: int) -> list[int]:
        replies = [
            hf.http.post(f"{path}/v1/xorbs/default/{XORB.name}", content=XORB.data, headers=headers),
            hf.http.post(f"{path}/v1/shards", content=SHARD, headers=headers),
            hf.commit("admin/m", lfs_line("model.bin", CONTENT), file_line(f"{number}.txt", b"same words")),
        ]
        return [reply.status_code for reply in replies]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(send, range(4))) == [[200, 200, 200]] * 4
    assert hf.get("/admin/m/resolve/main/model.bin").content == CONTENT
    names = {entry["path"] for entry in hf.get("/api/models/admin/m/tree/main").json()}
    assert {f"{number}.txt" for number in range(4)} <= names


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_the_hub_is_killed(make_process: Callable[..., Any], connect: Callable[..., Any]) -> None:
    """With -9 at some moment of a registration, again and again; the shard is sent again, and the file is whole."""
    served = make_process("--no-worker", "--grace-s", "0")
    served.start()
    moments = random.Random(12)
    hf = HfClient(connect(served).http, "admin-token-of-the-tests")
    assert hf.create("m").status_code == 200
    path, headers = address(hf, "admin/m")
    assert hf.http.post(f"{path}/v1/xorbs/default/{XORB.name}", content=XORB.data, headers=headers).status_code == 200
    for _ in range(4):

        def register() -> None:
            with suppress(httpx.TransportError):
                httpx.post(f"{served.url}{path}/v2/shards", content=SHARD, headers=headers, timeout=60)

        sending = threading.Thread(target=register)
        sending.start()
        time.sleep(moments.uniform(0, 0.25))
        served.end(signal.SIGKILL)
        sending.join()
        served.start()
    done = hf.http.post(f"{path}/v2/shards", content=SHARD, headers=headers)
    assert json.loads(done.text.splitlines()[-1]) == {"type": "result"}, done.text
    assert hf.commit("admin/m", lfs_line("model.bin", CONTENT)).status_code == 200
    assert hf.get("/admin/m/resolve/main/model.bin").content == CONTENT


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MB: room for the chunks, and not for the file beside them."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_a_full_disk(small_disk: Path, make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any]) -> None:
    """507 for what comes by Xet and inside a commit, nothing half-committed; it works when there is room again."""
    client = make_client(make_hub(data=small_disk / "hub"))
    hf = HfClient(client.http, client.token)
    assert hf.create("m").status_code == 200
    path, headers = address(hf, "admin/m")
    assert hf.http.post(f"{path}/v1/xorbs/default/{XORB.name}", content=XORB.data, headers=headers).status_code == 200
    shard = hf.http.post(f"{path}/v1/shards", content=SHARD, headers=headers)
    assert (shard.status_code, shard.json()["code"]) == (507, "STORAGE_FULL")
    lines = [file_line(f"{number}.bin", random.Random(number).randbytes(5_000_000)) for number in range(4)]
    inline = hf.commit("admin/m", *lines)
    assert (inline.status_code, inline.json()["code"]) == (507, "STORAGE_FULL")
    assert [entry["path"] for entry in hf.get("/api/models/admin/m/tree/main").json()] == [".gitattributes"]
    subprocess.run(["mount", "-o", "remount,size=120m", str(small_disk)], check=True)
    assert hf.http.post(f"{path}/v1/shards", content=SHARD, headers=headers).status_code == 200
    assert hf.commit("admin/m", lfs_line("model.bin", CONTENT), *lines).status_code == 200
    assert hf.get("/admin/m/resolve/main/model.bin").content == CONTENT
