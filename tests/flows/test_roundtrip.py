"""A checkpoint goes to a real hub and comes back bit for bit, by every way there is."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import freebits

RNG = np.random.default_rng(3)


def checkpoint(numel: int) -> bytes:
    """A safetensors file with one BF16 and one F32 tensor of Gaussian values."""
    wide = RNG.normal(size=numel).astype("<f4")
    narrow = (wide.view("<u4") >> 16).astype("<u2")
    spans = {"narrow": ("BF16", narrow), "wide": ("F32", wide)}
    header, at = {}, 0
    for name, (dtype, array) in spans.items():
        header[name] = {"dtype": dtype, "shape": [numel], "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + narrow.tobytes() + wide.tobytes()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a trainer writes it: weights, shards, text, an empty file, odd names."""
    folder = tmp_path_factory.mktemp("model")
    files = {
        "model-00001-of-00002.safetensors": checkpoint(1_000_000),
        "model-00002-of-00002.safetensors": checkpoint(333_333),
        "config.json": b'{"layers": 2}',
        "deep/er/noise.bin": random.Random(1).randbytes(2_500_001),
        "deep/copy of noise.bin": random.Random(1).randbytes(2_500_001),
        "äöü 100%.txt": "ü".encode(),
        "empty": b"",
    }
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Path to bytes of everything below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def wait_until_encoded(hub: freebits.Hub, repo: str) -> None:
    """Wait for the worker to encode the safetensors files of `repo`."""
    deadline = time.monotonic() + 60
    while True:
        entries = hub.files(repo).files
        if all(entry.state == "encoded" for path, entry in entries.items() if path.endswith("safetensors")):
            return
        assert time.monotonic() < deadline, entries
        time.sleep(0.2)


@pytest.mark.parametrize("encode_first", [None, True, False])
def test_a_folder_comes_back(link: Any, model: Path, home: Path, encode_first: bool | None) -> None:
    """Raw or encoded by the client; read at once, and again after the worker has encoded it."""
    repo = f"admin/folder-{encode_first}".lower()
    with freebits.Hub() as hub:
        pushed = hub.push(model, repo, encode=encode_first)
        hub.pull(repo, home / "at-once")
        wait_until_encoded(hub, repo)
        pulled = hub.pull(repo, home / "later", pushed.commit)
    assert contents(home / "at-once") == contents(home / "later") == contents(model)
    assert pulled.received_nbytes < pulled.nbytes


def test_curl_gets_the_same_bytes(link: Any, model: Path, home: Path) -> None:
    """A plain GET needs no freebits client; `--public` no token."""
    name = "model-00001-of-00002.safetensors"
    with freebits.Hub() as hub:
        hub.push(model / name, "admin/plain", visibility="public", encode=True)
    url = f"{link.endpoint}/api/v1/repos/admin/plain/resolve/main/{name}"
    with urllib.request.urlopen(url) as response:
        assert response.read() == (model / name).read_bytes()


def test_tensors_by_name_without_the_rest(link: Any, model: Path, home: Path) -> None:
    """A remote tensor costs its own bytes and little more."""
    with freebits.Hub() as hub:
        hub.push(model, "admin/tensors", encode=True)
        before = link.down_nbytes
        with hub.open("admin/tensors", "model-00001-of-00002.safetensors", framework="numpy") as remote:
            narrow = remote["narrow"]
        moved = link.down_nbytes - before
    with freebits.open(model / "model-00001-of-00002.safetensors", framework="numpy") as local:
        assert list(local) == ["narrow", "wide"]
        assert local["narrow"].tobytes() == narrow.tobytes()
    assert moved < 4_500_000


def test_the_command_line(link: Any, cli: Any, model: Path, home: Path) -> None:
    """push, ls, pull, rm with JSON; a second push and pull move nothing."""
    code, stdout, stderr = cli("push", model, "admin/cli", "-m", "First", "--json")
    assert (code, stderr) == (0, "")
    commit = json.loads(stdout)["commit"]
    assert json.loads(cli("push", model, "admin/cli", "--json")[1])["pushed"] == []
    assert cli("pull", "admin/cli", "-o", "out", "--revision", commit)[0] == 0
    assert contents(home / "out") == contents(model)
    assert json.loads(cli("pull", "admin/cli", "-o", "out", "--json")[1])["pulled"] == []
    listed = {entry["path"]: entry for entry in json.loads(cli("ls", "admin/cli", "--json")[1])["files"]}
    config = (model / "config.json").read_bytes()
    assert listed["config.json"]["sha256"] == hashlib.sha256(config).hexdigest()
    assert cli("rm", "admin/cli", "deep/")[0] == 0
    assert "deep" not in cli("ls", "admin/cli")[1]
    assert cli("push", model, "admin/cli", "--revision", "other/branch")[0] == 0
    assert "other/branch" in cli("ls", "admin/cli", "--refs")[1]
    assert cli("rm", "admin/cli", "--branch", "other/branch", "--yes")[0] == 0
    assert cli("rm", "admin/cli", "--repo", "--yes")[0] == 0
    assert cli("ls", "admin/cli")[0] == 3


def test_asyncio(link: Any, model: Path, home: Path) -> None:
    """AsyncHub drives the same flows."""

    async def both_ways() -> None:
        async with freebits.AsyncHub() as hub:
            await hub.push(model, "admin/async", encode=True)
            await hub.pull("admin/async", home / "out")
            await hub.delete_files("admin/async", ["deep/"], "main", "less")
            assert not any(path.startswith("deep/") for path in (await hub.files("admin/async")).files)
            [main] = await hub.refs("admin/async")
            await hub.push(model, "admin/async", revision="other")
            await hub.delete_ref("admin/async", "branch", "other")
            [deleted] = await hub.deleted_refs("admin/async")
            assert (await hub.undelete_ref("admin/async", "branch", deleted.name)).name == "other"
            assert [ref.name for ref in await hub.refs("admin/async")] == [main.name, "other"]
            assert not await hub.create_repo("admin/async")
            await hub.delete_repo("admin/async")
            assert "admin/async" in {repo.name for repo in await hub.deleted_repos()}
            assert (await hub.undelete_repo("admin/async")).name == "admin/async"
            assert await hub.variants("admin/async") == []
            job = await hub.create_variant("admin/async", "gauge-polar")
            assert (await hub.job(job.id)).id in {each.id for each in await hub.jobs()}

    asyncio.run(both_ways())
    assert contents(home / "out") == contents(model)


def test_two_pushes_at_once_both_land(link: Any, start_cli: Any, model: Path, home: Path) -> None:
    """Compare-and-set loses for one of them, who then rebases."""
    for name in ("a", "b"):
        (home / name).mkdir()
        (home / name / f"{name}.bin").write_bytes(name.encode() * 100_000)
    with freebits.Hub() as hub:
        hub.create_repo("admin/busy")
        pushes = [start_cli("push", name, "admin/busy") for name in ("a", "b") * 3]
        assert [push.wait(timeout=60) for push in pushes] == [0] * 6
        assert set(hub.files("admin/busy").files) == {"a.bin", "b.bin"}
