"""The plainest server that `hf upload` and `hf download` work against: a sink for LFS and Xet, files by the kernel.

It checks nothing, hashes nothing and knows one user; files come from one folder. What is uploaded it forgets, or keeps
in files, whose bytes the kernel may have in memory for as long as it likes. What a hub does beyond that is what a
comparison with it shows. A careful one does the least that a hub has to do for LFS: it verifies SHA-256 as bytes come,
and has them on the disk before it says that it has them.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SINK_NBYTES = 1 << 20


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path
    digests: Mapping[str, str]
    kept: Path | None
    is_careful: bool

    def do_POST(self) -> None:
        """Creation, announcements, the LFS batch, the commit."""
        path = urlsplit(self.path).path
        if path.startswith("/xet/v1/xorbs/"):
            self._sink()
            self._json({"was_inserted": True})
            return
        body = self._body()
        base = f"http://{self.headers['Host']}"
        if path == "/api/repos/create":
            name = json.loads(body)["name"]
            self._json({"url": f"{base}/bench/{name}", "name": f"bench/{name}"})
        elif "/preupload/" in path:
            files = json.loads(body)["files"]
            modes = [{"path": file["path"], "uploadMode": "lfs", "shouldIgnore": False} for file in files]
            self._json({"files": modes})
        elif path.endswith("/objects/batch"):
            objects = [
                {**wanted, "actions": {"upload": {"href": f"{base}/sink/{wanted['oid']}"}}}
                for wanted in json.loads(body)["objects"]
            ]
            self._json({"transfer": "basic", "objects": objects})
        elif path.startswith("/xet/"):
            is_shard = path.endswith("/shards")
            self._json({"result": 1, "type": "result"} if is_shard else {}, 200 if is_shard else 404)
        elif "/commit/" in path:
            url = f"{base}/bench/files/commit/{COMMIT}"
            self._json({"success": True, "commitOid": COMMIT, "commitUrl": url, "hookOutput": ""})
        else:
            self._json({"errors": [], "warnings": []})

    def do_PUT(self) -> None:
        """An object of LFS."""
        digest = self._sink()
        self.send_response(422 if self.is_careful and digest != self.path.rpartition("/")[2] else 200)
        self.send_header("ETag", '"sunk"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _sink(self) -> str:
        """Read a body, and forget or write it; its SHA-256 if anybody cares."""
        digest = hashlib.sha256()
        left, window = int(self.headers["Content-Length"]), memoryview(bytearray(SINK_NBYTES))
        # Kept until the folder goes: memory for a file is cheap where one was just deleted, and a hub deletes nothing.
        with open(os.devnull, "wb") if self.kept is None else NamedTemporaryFile(dir=self.kept, delete=False) as file:
            while left:
                received = self.rfile.readinto(window[: min(left, SINK_NBYTES)])  # type: ignore[attr-defined]
                if self.is_careful:
                    digest.update(window[:received])
                file.write(window[:received])
                left -= received
            if self.is_careful:
                file.flush()
                os.fdatasync(file.fileno())
        return digest.hexdigest()

    def do_HEAD(self) -> None:
        """What a file is."""
        self._file(with_body=False)

    def do_GET(self) -> None:
        """A file, or what there is."""
        path = urlsplit(self.path).path
        if "/resolve/" in path:
            self._file(with_body=True)
        elif "/xet-write-token/" in path:
            base, expires = f"http://{self.headers['Host']}/xet", int(time.time()) + 3600
            facts = {"accessToken": "any", "exp": expires, "casUrl": base}
            self._json(facts)
        elif path.startswith("/api/models/"):
            found = [{"rfilename": name} for name in self.digests]
            if "/tree/" in path:
                self._json([self._entry(name) for name in self.digests])
            else:
                self._json({"id": "bench/files", "sha": COMMIT, "private": False, "tags": [], "siblings": found})
        else:
            self._json({}, 404)

    def _entry(self, name: str) -> dict[str, Any]:
        nbytes, digest = (self.folder / name).stat().st_size, self.digests[name]
        lfs = {"oid": digest, "size": nbytes, "pointerSize": 134}
        return {"type": "file", "oid": digest[:40], "size": nbytes, "path": name, "lfs": lfs}

    def _file(self, *, with_body: bool) -> None:
        name = unquote(urlsplit(self.path).path).rpartition("/")[2]
        nbytes = (self.folder / name).stat().st_size
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{self.digests[name]}"')
        self.send_header("Content-Length", str(nbytes))
        self.end_headers()
        if with_body:
            self.wfile.flush()
            with (self.folder / name).open("rb") as file:
                self.connection.sendfile(file)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _json(self, value: object, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def plainest_hub(
    folder: Path, digests: Mapping[str, str], host: str, kept: Path | None = None, *, is_careful: bool = False
) -> Iterator[int]:
    """Serve the files of `folder`, whose SHA-256 are `digests`; uploads go to files in `kept`. The port."""
    facts = {"folder": folder, "digests": digests, "kept": kept, "is_careful": is_careful}
    handler = type("Handler", (_Handler,), facts)
    server = ThreadingHTTPServer((host, 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
