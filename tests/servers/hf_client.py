"""A hub spoken to as Hugging Face clients do, below the level of their library: paths, bodies, headers."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any

import httpx


def hf_digest(content: bytes) -> str:
    """The LFS id of content."""
    return hashlib.sha256(content).hexdigest()


@dataclass
class HfClient:
    """One user of the hub; None is a stranger."""

    http: httpx.Client
    token: str | None

    def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        """A request with the user's token; `url` is a path or what the hub gave."""
        headers = dict(options.pop("headers", {}))
        if self.token is not None:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        return self.http.request(method, url, headers=headers, **options)

    def get(self, url: str, **options: Any) -> httpx.Response:
        """GET."""
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Any) -> httpx.Response:
        """POST."""
        return self.request("POST", url, **options)

    def create(self, name: str, **body: Any) -> httpx.Response:
        """Make a repo in the user's own namespace, or that of an organization."""
        return self.post("/api/repos/create", json={"name": name, **body})

    def commit(self, repo: str, *lines: dict[str, Any], revision: str = "main", **header: Any) -> httpx.Response:
        """A commit of some lines, after their header."""
        first = {"key": "header", "value": {"summary": "test", "description": "", **header}}
        body = b"\n".join(json.dumps(line).encode() for line in (first, *lines))
        headers = {"Content-Type": "application/x-ndjson"}
        return self.post(f"/api/models/{repo}/commit/{revision}", content=body, headers=headers)

    def batch(self, repo: str, operation: str, *contents: bytes, transfers: tuple[str, ...] = ("basic",)) -> Any:
        """The objects of an answer of the LFS batch API."""
        objects = [{"oid": hf_digest(content), "size": len(content)} for content in contents]
        body = {"operation": operation, "transfers": list(transfers), "objects": objects, "hash_algo": "sha256"}
        return self.post(f"/{repo}.git/info/lfs/objects/batch", json=body)

    def push_lfs(self, repo: str, path: str, content: bytes) -> str:
        """Upload by LFS and commit; the commit id."""
        [answer] = self.batch(repo, "upload", content).json()["objects"]
        if "actions" in answer:
            put = self.http.put(answer["actions"]["upload"]["href"], content=content)
            assert put.status_code == 200, put.text
        reply = self.commit(repo, lfs_line(path, content))
        assert reply.status_code == 200, reply.text
        commit: str = reply.json()["commitOid"]
        return commit


def file_line(path: str, content: bytes) -> dict[str, Any]:
    """The line of a commit that brings a file."""
    value = {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"}
    return {"key": "file", "value": value}


def lfs_line(path: str, content: bytes) -> dict[str, Any]:
    """The line of a commit that names content."""
    value = {"path": path, "algo": "sha256", "oid": hf_digest(content), "size": len(content)}
    return {"key": "lfsFile", "value": value}
