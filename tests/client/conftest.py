"""A small hub for the client's tests, in one process, that can misbehave on demand.

It speaks the wire just enough. What a real hub never does (serve wrong bytes, name hostile paths, cut
connections at a chosen byte) can only be had from this one; the ordinary paths are tested against the real
hub in tests/flows.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

TOKEN = "fb-test-token"
CONTAINER_TYPE = "application/vnd.freebits"


@dataclass
class Exchange:
    """One request as the hub saw it."""

    method: str
    path: str
    headers: dict[str, str]
    sent_nbytes: int = 0
    received_nbytes: int = 0


@dataclass
class TinyHub:
    """State of the hub, and what it should do wrong."""

    part_nbytes: int = 1 << 20
    bytes_per_s: float = float("inf")
    log: list[Exchange] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    containers: dict[str, bytes] = field(default_factory=dict)
    repos: dict[str, dict[str, Any]] = field(default_factory=dict)
    uploads: dict[str, dict[str, Any]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    fault: Callable[[Exchange], tuple[int, dict[str, Any]] | str | None] = lambda _exchange: None
    served: dict[str, bytes] = field(default_factory=dict)
    extra_entries: list[dict[str, Any]] = field(default_factory=list)
    on_commit: Callable[[], None] = lambda: None
    lock: threading.Lock = field(default_factory=threading.Lock)
    endpoint: str = ""

    def add(self, repo: str, path: str, data: bytes, container: bytes | None = None) -> str:
        """Put a file into a repo as a new commit, optionally encoded."""
        digest = hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        if container is not None:
            self.containers[digest] = container
        found = self.repos.setdefault(repo, {"head": None, "commits": {}, "visibility": "private"})
        files = {**found["commits"].get(found["head"], {}), path: digest}
        self.new_commit(found, files)
        return digest

    def new_commit(self, repo: dict[str, Any], files: dict[str, str]) -> str:
        """Move the head to a commit with `files`."""
        commit = hashlib.sha1(json.dumps([repo["head"], files, len(repo["commits"])]).encode()).hexdigest()
        repo["commits"][commit], repo["head"] = files, commit
        return commit

    def files(self, repo: str) -> dict[str, bytes]:
        """Path to bytes at the head of a repo."""
        found = self.repos[repo]
        return {path: self.blobs[digest] for path, digest in found["commits"][found["head"]].items()}

    def count(self, method: str, part: str) -> int:
        """How many requests had this method and `part` in their path."""
        return sum(e.method == method and part in e.path for e in self.log)

    def part_nbytes_received(self) -> int:
        """Bytes of parts that arrived, repeated ones counted again."""
        return sum(e.received_nbytes for e in self.log if e.method == "PUT")

    def blob_nbytes_sent(self) -> int:
        """Bytes of files that were served."""
        return sum(e.sent_nbytes for e in self.log if "/resolve/" in e.path)


class Refused(Exception):
    """An error answer."""

    def __init__(self, status: int, code: str, detail: Any = None) -> None:
        self.status, self.body = status, {"code": code, "message": code, "detail": detail, "request_id": "r1"}


class Handler(BaseHTTPRequestHandler):
    """One connection; `hub` is set by the fixture."""

    hub: TinyHub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def do_any(self) -> None:
        self.exchange = Exchange(self.command, self.path, dict(self.headers))
        self.hub.log.append(self.exchange)
        try:
            fault = self.hub.fault(self.exchange)
            if fault == "cut":
                self.close_connection = True
                return
            if isinstance(fault, tuple):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.answer(fault[0], fault[1])
            else:
                self.route(fault)
        except Refused as refused:
            self.answer(refused.status, refused.body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_any  # noqa: N815

    def route(self, fault: str | None) -> None:
        parts = [unquote(p) for p in urlsplit(self.path).path.removeprefix("/api/v1/").split("/")]
        is_put = self.command == "PUT"
        body = b"" if is_put else self.rfile.read(int(self.headers.get("Content-Length") or 0))
        json_body = json.loads(body) if body else {}
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            is_stranger_reading = self.command == "GET" and parts != ["whoami"]
            raise Refused(404, "REPO_NOT_FOUND") if is_stranger_reading else Refused(401, "UNAUTHENTICATED")
        if parts == ["whoami"]:
            return self.answer(200, {"name": "alice", "role": "user"})
        if parts == ["repos"]:
            return self.repos(json_body)
        name = "/".join(parts[1:3])
        if name not in self.hub.repos:
            raise Refused(404, "REPO_NOT_FOUND")
        repo, rest = self.hub.repos[name], parts[3:]
        match rest:
            case []:
                del self.hub.repos[name]
                self.answer(204, None)
            case ["refs", *_]:
                head = {"type": "branch", "name": "main", "commit": repo["head"]}
                self.answer(200, {"items": [head] if repo["head"] else []})
            case ["tree", revision]:
                self.tree(repo, revision)
            case ["commits"]:
                self.commit(repo, json_body)
            case ["uploads"]:
                self.open_upload(json_body)
            case ["uploads", upload_id, *action]:
                self.upload(upload_id, action)
            case ["resolve", revision, *path]:
                self.resolve(repo, revision, "/".join(path), fault)

    def repos(self, body: dict[str, Any]) -> None:
        if self.command == "POST":
            self.hub.repos[body["name"]] = {"head": None, "commits": {}, "visibility": body["visibility"]}
        items = [
            {
                "name": n,
                "visibility": r["visibility"],
                "default_branch": "main",
                "created_at": "",
                "head": r["head"],
            }
            for n, r in self.hub.repos.items()
        ]
        self.answer(201 if self.command == "POST" else 200, {"items": items, "next": None})

    def commit_files(self, repo: dict[str, Any], revision: str) -> tuple[str, dict[str, str]]:
        commit = repo["head"] if revision == "main" else revision
        if commit not in repo["commits"]:
            raise Refused(404, "REVISION_NOT_FOUND")
        return commit, repo["commits"][commit]

    def tree(self, repo: dict[str, Any], revision: str) -> None:
        commit, files = self.commit_files(repo, revision)
        items = [
            {
                "type": "file",
                "path": path,
                "nbytes": len(self.hub.blobs[digest]),
                "sha256": digest,
                "stored_nbytes": len(self.hub.containers.get(digest, self.hub.blobs[digest])),
                "state": "encoded" if digest in self.hub.containers else "raw",
            }
            for path, digest in files.items()
        ]
        self.answer(200, {"commit": commit, "items": items + self.hub.extra_entries, "next": None})

    def commit(self, repo: dict[str, Any], body: dict[str, Any]) -> None:
        self.hub.on_commit()
        if body["parent"] != repo["head"]:
            raise Refused(409, "HEAD_MOVED", {"head": repo["head"]})
        files = dict(repo["commits"].get(repo["head"], {}))
        for operation in body["operations"]:
            if operation["op"] == "delete":
                del files[operation["path"]]
            elif operation["sha256"] not in self.hub.blobs:
                raise Refused(422, "BLOB_MISSING", [operation["sha256"]])
            else:
                files[operation["path"]] = operation["sha256"]
        parent, commit = repo["head"], self.hub.new_commit(repo, files)
        facts = {"id": commit, "parent": parent, "author": "alice", "message": body["message"]}
        self.answer(201, {**facts, "description": None, "created_at": ""})

    def open_upload(self, body: dict[str, Any]) -> None:
        count = -(-body["stored_nbytes"] // self.hub.part_nbytes)
        state = "complete" if body["sha256"] in self.hub.blobs else "receiving"
        upload = {**body, "id": f"u{next(self.hub.numbers)}", "repo": "", "part_nbytes": self.hub.part_nbytes}
        upload |= {"part_count": count, "received": {}, "state": state, "expires_at": ""}
        self.hub.uploads[upload["id"]] = upload
        self.answer(201, self.shown(upload))

    def shown(self, upload: dict[str, Any]) -> dict[str, Any]:
        return {**upload, "received": sorted(upload["received"])}

    def upload(self, upload_id: str, action: list[str]) -> None:
        upload = self.hub.uploads.get(upload_id)
        if upload is None:
            raise Refused(404, "UPLOAD_NOT_FOUND")
        match self.command, action:
            case "PUT", ["parts", number]:
                data = self.read_body()
                if hashlib.sha256(data).hexdigest() != self.headers["X-Part-SHA256"]:
                    raise Refused(422, "PART_MISMATCH")
                upload["received"][int(number)] = data
                self.answer(200, {"number": int(number), "nbytes": len(data), "sha256": ""})
            case "POST", ["complete"]:
                self.complete(upload)
            case "DELETE", []:
                del self.hub.uploads[upload_id]
                self.answer(204, None)
            case _:
                self.answer(200, self.shown(upload))

    def complete(self, upload: dict[str, Any]) -> None:
        from freebits_codecs import decode  # noqa: PLC0415

        data = b"".join(upload["received"][n] for n in sorted(upload["received"]))
        if upload["encoding"] == "freebits":
            self.hub.containers[upload["sha256"]], data = data, decode(data)
        if hashlib.sha256(data).hexdigest() != upload["sha256"]:
            raise Refused(422, "DIGEST_MISMATCH")
        self.hub.blobs[upload["sha256"]], upload["state"] = data, "complete"
        self.answer(200, self.shown(upload))

    def resolve(self, repo: dict[str, Any], revision: str, path: str, fault: str | None) -> None:
        commit, files = self.commit_files(repo, revision)
        digest = files[path]
        data, kind, etag = (
            self.hub.served.get(path, self.hub.blobs[digest]),
            "application/octet-stream",
            digest,
        )
        if digest in self.hub.containers and CONTAINER_TYPE in self.headers.get("Accept", ""):
            data, kind, etag = self.hub.served.get(path, self.hub.containers[digest]), CONTAINER_TYPE, "fb-x"
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last) + 1, len(data))
        if start >= len(data):
            raise Refused(416, "RANGE_NOT_SATISFIABLE")
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Content-Type", kind)
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Freebits-Commit", commit)
        self.send_header("X-Freebits-Sha256", digest)
        self.end_headers()
        if fault == "cut body":
            stop = start + (stop - start) // 2
            self.close_connection = True
        for at in range(start, stop, 1 << 16):
            piece = data[at : min(at + (1 << 16), stop)]
            self.wfile.write(piece)
            self.exchange.sent_nbytes += len(piece)
            self.pace(len(piece))

    def read_body(self) -> bytes:
        left, pieces = int(self.headers["Content-Length"]), []
        while left:
            piece = self.rfile.read1(min(left, 1 << 16))
            if not piece:
                raise ConnectionResetError
            pieces.append(piece)
            left -= len(piece)
            self.exchange.received_nbytes += len(piece)
            self.pace(len(piece))
        return b"".join(pieces)

    def pace(self, nbytes: int) -> None:
        """Hold the one link that all connections share for as long as these bytes take."""
        if self.hub.bytes_per_s != float("inf"):
            with self.hub.lock:
                time.sleep(nbytes / self.hub.bytes_per_s)

    def answer(self, status: int, body: Any) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for key, value in (body or {}).pop("headers", {}).items() if isinstance(body, dict) else ():
            self.send_header(key, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Server(ThreadingHTTPServer):
    """Accepts connections that die under it without a word on stderr."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        pass


@pytest.fixture
def tiny_hub() -> Iterator[TinyHub]:
    """A running hub with an empty state."""
    hub = TinyHub()
    server = Server(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": hub}))
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, so that neither credentials nor caches of the machine matter."""
    for name in list(os.environ):
        if name.startswith(("FREEBITS_", "HF_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def environment(home: Path, tiny_hub: TinyHub, monkeypatch: pytest.MonkeyPatch) -> TinyHub:
    """The environment points to the tiny hub, logged in."""
    monkeypatch.setenv("FREEBITS_ENDPOINT", tiny_hub.endpoint)
    monkeypatch.setenv("FREEBITS_TOKEN", TOKEN)
    return tiny_hub


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def cli(home: Path) -> Run:
    """Run `freebits` in a process of its own."""

    def run(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "freebits", *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=home, timeout=60, **options
        )

    return run


@pytest.fixture
def start_cli(home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `freebits` and go on; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str | Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "freebits", *map(str, arguments)]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=home))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Poll until `condition` holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.005)


@pytest.fixture(name="wait_until")
def _wait_until() -> Callable[..., None]:
    return wait_until
