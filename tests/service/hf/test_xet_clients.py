"""Released versions of huggingface_hub with hf-xet download from a hub process: by Xet where that is offered."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from freebits_codecs import encode

ENVIRONMENTS = Path(sys.prefix) / "hf"
OLDER_XETS = Path(sys.prefix) / "hf-xet"  # those of `make test-matrix`
OLDEST, NEWEST = "0.36.2", "2.4.0"
CHECKS = Path(__file__).with_name("xet_download_checks.py")
TOKEN = "admin-token-of-the-tests"
KEPT = ("PATH", "LANG", "TMPDIR", "SSL_CERT_FILE")
# For the hub, who asks at the second address comes from another one, and so from another machine.
HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"
NOISE = random.Random(8).randbytes(1 << 19)
FEW = NOISE[::-1].translate(bytes((byte & -byte).bit_length() for byte in range(256)))
CONTENT = b"".join(bytes(pair) for pair in zip(NOISE, FEW, strict=True)) * 70
CONTENT += b"the end"  # more than one xorb; every second byte is one of few, as in bfloat16
START, STOP = 66_000_003, 70_000_011  # across the border of two xorbs


@dataclass
class Downloading:
    """A hub process that offers all files by Xet, with one stored raw and one stored encoded."""

    served: Any

    def run(
        self, client: Path, path: str, home: Path, host: str = HERE, **variables: str
    ) -> tuple[dict[str, str], list[str]]:
        """What a client gets, by the way it came, and the paths of its requests."""
        environment = {name: os.environ[name] for name in KEPT if name in os.environ} | variables
        environment |= {"HF_ENDPOINT": f"http://{host}:{self.served.port}", "HF_TOKEN": TOKEN, "HOME": str(home)}
        before = len(self.served.log().splitlines())
        command = [client / "bin" / "python", CHECKS, "admin/m", path, str(START), str(STOP)]
        ran = subprocess.run(
            command, env=environment, cwd=home, capture_output=True, text=True, timeout=300, check=False
        )
        assert ran.returncode == 0, f"{ran.stderr[-4000:]}\n{self.served.log()[-4000:]}"
        lines = [json.loads(line) for line in self.served.log().splitlines()[before:]]
        requests = [line for line in lines if line["event"] == "request" and line["method"] == "GET"]
        return json.loads(ran.stdout.splitlines()[-1]), [line["path"] for line in requests]


@pytest.fixture(scope="module")
def downloading(make_lasting_process: Callable[..., Any]) -> Downloading:
    """The same hub for all tests."""
    served = make_lasting_process("--xet-downloads-from-nbytes", "100000", "--no-worker")
    served.flags += ["--part-nbytes", str(32 << 20), "--host", "0.0.0.0"]
    served.start()
    raw = CONTENT[::-1]
    _make_repo(served, "admin/m", {"raw.bin": (raw, raw), "encoded.bin": (CONTENT, encode(CONTENT, sha256=True))})
    return Downloading(served)


def _make_repo(served: Any, name: str, files: dict[str, tuple[bytes, bytes]]) -> None:
    """A repo with one commit of files, each given by its content and as it is stored."""
    with httpx.Client(base_url=f"{served.url}/api/v1", headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        reply = http.post("/repos", json={"name": name, "visibility": "private"})
        assert reply.status_code == 201, reply.text
        operations = [{"op": "add", "path": path, **_upload(http, name, *file)} for path, file in files.items()]
        body = {"branch": "main", "parent": None, "message": "test", "operations": operations}
        assert http.post(f"/repos/{name}/commits", json=body).status_code == 201


def _upload(http: httpx.Client, repo: str, content: bytes, stored: bytes) -> dict[str, Any]:
    facts = {"sha256": hashlib.sha256(content).hexdigest(), "nbytes": len(content)}
    body = {
        **facts,
        "encoding": "identity" if stored is content else "freebits",
        "stored_nbytes": len(stored),
        "stored_sha256": hashlib.sha256(stored).hexdigest(),
    }
    uploads = f"/repos/{repo}/uploads"
    upload = http.post(uploads, json=body).json()
    for number in range(upload["part_count"]):
        part = stored[number * upload["part_nbytes"] :][: upload["part_nbytes"]]
        assert http.put(f"{uploads}/{upload['id']}/parts/{number}", content=part, timeout=60).status_code == 200
    assert http.post(f"{uploads}/{upload['id']}/complete", timeout=60).status_code == 200
    return facts


@pytest.mark.parametrize(("version", "protocol"), [(OLDEST, ""), (NEWEST, ""), (NEWEST, "1")])
@pytest.mark.parametrize("path", ["raw.bin", "encoded.bin"])
def test_downloads_by_xet(downloading: Downloading, tmp_path: Path, version: str, protocol: str, path: str) -> None:
    """Every byte is right, and none of the file came by plain HTTP; by both versions of reconstructions."""
    content = CONTENT[::-1] if path == "raw.bin" else CONTENT
    variables = {"HF_XET_CLIENT_RECONSTRUCTION_API_VERSION": protocol} if protocol else {}
    found, paths = downloading.run(ENVIRONMENTS / version, path, tmp_path, **variables)
    whole = hashlib.sha256(content).hexdigest()
    assert found.pop("range") == hashlib.sha256(content[START:STOP]).hexdigest()
    assert set(found.values()) == {whole}
    assert set(found) >= {"file", "snapshot"}
    assert not [asked for asked in paths if "/resolve/" in asked and asked.endswith(path)]
    described = [asked for asked in paths if asked.endswith(f"/reconstructions/{whole}")]
    assert {asked.split("/")[3] for asked in described} == {f"v{protocol or 2}"}
    for number in (0, 1):
        assert [asked for asked in paths if asked.endswith(f"/files/{whole}/xorbs/{number}")]


@pytest.mark.parametrize(("version", "protocol"), [(OLDEST, "1"), (NEWEST, ""), (NEWEST, "1")])
@pytest.mark.parametrize("path", ["raw.bin", "encoded.bin"])
def test_downloads_that_are_packed(
    downloading: Downloading, tmp_path: Path, version: str, protocol: str, path: str
) -> None:
    """From another machine: the same bytes, out of fewer."""
    content = CONTENT[::-1] if path == "raw.bin" else CONTENT
    variables = {"HF_XET_CLIENT_RECONSTRUCTION_API_VERSION": protocol} if protocol else {}
    found, paths = downloading.run(ENVIRONMENTS / version, path, tmp_path, ELSEWHERE, **variables)
    whole = hashlib.sha256(content).hexdigest()
    assert found.pop("range") == hashlib.sha256(content[START:STOP]).hexdigest()
    assert set(found.values()) == {whole}
    for chunks in ("0/chunks/0-512", "1/chunks/0-49"):
        assert [asked for asked in paths if asked.endswith(f"/files/{whole}/xorbs/{chunks}")]
    lines = [json.loads(line) for line in downloading.served.log().splitlines() if f"/{whole}/xorbs/0/chunks/" in line]
    assert all(line["sent_nbytes"] < 64 << 20 for line in lines)


def test_what_is_damaged_does_not_seem_whole(downloading: Downloading) -> None:
    """Nobody knows how long packed chunks will be, so that a cut has to be told from an end."""
    content = bytes(range(256)) * 16384 + random.Random(3).randbytes(4 << 20)
    stored = encode(content, sha256=True)
    _make_repo(downloading.served, "admin/damaged", {"damaged.bin": (content, stored)})
    [path] = [found for found in downloading.served.data.rglob("*") if _holds(found, stored)]
    path.write_bytes(stored[:-3_000_000] + bytes(1000) + stored[-2_999_000:])
    url = f"{downloading.served.url}/api/models/admin/damaged/xet-read-token/main"
    told = httpx.get(url, headers={"Authorization": f"Bearer {TOKEN}"}).json()
    base = told["casUrl"].replace(HERE, ELSEWHERE)
    headers = {"Authorization": f"Bearer {told['accessToken']}"}
    found = httpx.get(f"{base}/v2/reconstructions/{hashlib.sha256(content).hexdigest()}", headers=headers).json()
    [[xorb]] = found["xorbs"].values()
    assert "/chunks/0-64" in xorb["url"]
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(xorb["url"])


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content


@pytest.mark.parametrize(
    "client", [path.parent for path in OLDER_XETS.glob("*/.installed")], ids=lambda path: path.name
)
@pytest.mark.parametrize("path", ["raw.bin", "encoded.bin"])
@pytest.mark.parametrize(("host", "second"), [(HERE, "1"), (ELSEWHERE, "1/chunks/0-49")])
def test_downloads_by_older_xets(
    downloading: Downloading, tmp_path: Path, client: Path, path: str, host: str, second: str
) -> None:
    """Which ask at paths that had no version yet."""
    content = CONTENT[::-1] if path == "raw.bin" else CONTENT
    found, paths = downloading.run(client, path, tmp_path, host)
    whole = hashlib.sha256(content).hexdigest()
    assert {found["file"], found["snapshot"]} == {whole}
    assert not [asked for asked in paths if "/resolve/" in asked and asked.endswith(path)]
    assert [asked for asked in paths if asked.endswith(f"/files/{whole}/xorbs/{second}")]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_downloads_by_plain_http(downloading: Downloading, tmp_path: Path, version: str) -> None:
    """Stay possible: a client that is told to, or has no hf-xet, never asks for anything of Xet."""
    found, paths = downloading.run(ENVIRONMENTS / version, "encoded.bin", tmp_path, HF_HUB_DISABLE_XET="1")
    assert set(found.values()) == {hashlib.sha256(CONTENT).hexdigest()}
    assert [asked for asked in paths if "/resolve/" in asked and asked.endswith("/encoded.bin")]
    assert not [asked for asked in paths if "xet" in asked]
