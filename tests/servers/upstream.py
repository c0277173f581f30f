"""Upstreams that no hub of this project can be: one that lists files like the Hugging Face Hub, or lies; a bad line."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "c" * 40


def git_blob_id(content: bytes) -> str:
    """What git calls a blob of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Listing:
    """A repo as the Hugging Face Hub shows it: short files by git's SHA-1, large ones by SHA-256.

    `sent` replaces the bytes of some files, `listed` the entries of some; `facts` are added to the description.
    """

    files: dict[str, bytes]
    lfs: frozenset[str] = frozenset()
    sent: dict[str, bytes] = field(default_factory=dict)
    listed: dict[str, dict[str, Any]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    elsewhere: str = ""  # where files are, if not here
    endless: bool = False  # whether each page of the tree leads to another one

    def entry(self, path: str) -> dict[str, Any]:
        """A file in the tree."""
        content = self.files[path]
        entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": git_blob_id(content)}
        if path in self.lfs:
            entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
        return {**entry, **self.listed.get(path, {})}

    def answer(self, path: str) -> bytes | None:
        """The body of an answer; None for what is not there."""
        if path == "/api/models/gpt2":
            return b'{"id": "openai-community/gpt2"}'
        if "/revision/" in path:
            return json.dumps({"id": "x/y", "sha": COMMIT, "siblings": [], **self.facts}).encode()
        if "/tree/" in path:
            return json.dumps([self.entry(name) for name in self.files]).encode()
        if path.endswith("/refs"):
            return json.dumps({"branches": [], "converts": [], "tags": [{"name": "v1"}]}).encode()
        _, found, rest = path.partition("/resolve/")
        name = rest.partition("/")[2]
        name = unquote(name)
        return self.sent.get(name, self.files.get(name)) if found else None


@contextmanager
def listing_upstream(listing: Listing) -> Iterator[str]:
    """Serve one repo, under every name; its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Answer from the listing."""
            path = urlsplit(self.path).path
            listing.asked.append(path)
            listing.tokens.append(self.headers.get("Authorization"))
            if listing.elsewhere and "/resolve/" in path:
                self.send_response(302)
                self.send_header("Location", listing.elsewhere + path)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = listing.answer(path)
            start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
            self.send_response(404 if body is None else 206 if start else 200)
            body = body or b""
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            self.send_header("Content-Length", str(len(body) - start))
            if listing.endless and "/tree/" in path:
                self.send_header("Link", f'<http://elsewhere.example{path}?cursor={len(listing.asked)}>; rel="next"')
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(body[start:])

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class Line:
    """A connection to a server that breaks after so many bytes of answers, or stops and waits for a word to go on."""

    def __init__(self, to_port: int) -> None:
        self._to = to_port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.breaks_after: int | None = None
        self.stops_after: int | None = None
        self.stopped = threading.Event()
        self.is_cut = False
        self.broken = 0
        self.is_open = threading.Event()
        self.is_open.set()
        self.passed_nbytes = 0
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def url(self) -> str:
        """Where to connect to."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Take no more connections."""
        self.stops_after = None
        self.is_open.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._listening.accept()
                threading.Thread(target=self._connect, args=(here,), daemon=True).start()

    def _connect(self, here: socket.socket) -> None:
        with here, suppress(OSError), socket.create_connection(("127.0.0.1", self._to)) as there:
            if self.is_cut:
                return
            asking = threading.Thread(target=self._pass, args=(here, there, False))
            asking.start()
            self._pass(there, here, True)
            asking.join()

    def _pass(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        passed = 0
        with suppress(OSError):
            while piece := source.recv(1 << 16):
                if is_answer:
                    if self.stops_after is not None and passed > self.stops_after:
                        self.is_open.clear()
                        self.stopped.set()
                    self.is_open.wait()
                    passed += len(piece)
                    self.passed_nbytes += len(piece)
                    if self.breaks_after is not None and passed > self.breaks_after:
                        self.broken += 1
                        break
                target.sendall(piece)
                if self.is_cut:
                    break
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
