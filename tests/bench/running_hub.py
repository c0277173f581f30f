"""A real hub (`freebits serve`) for a benchmark, with the commands and URLs to reach it."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

TOKEN = "fb_benchmark-only-token-0123456789abcdef"
FREEBITS = (sys.executable, "-m", "freebits")
START_TIMEOUT_S, ENCODE_TIMEOUT_S = 60, 600


@dataclass(frozen=True)
class RunningHub:
    host: str
    port: int
    home: Path

    @property
    def address(self) -> str:
        """host:port"""
        return f"{self.host}:{self.port}"

    def environment(self, endpoint: str | None = None) -> dict[str, str]:
        """Variables for a client that knows no other hub and finds this one at `endpoint`."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith("FREEBITS_")}
        url = f"http://{endpoint or self.address}"
        return mine | {"FREEBITS_ENDPOINT": url, "FREEBITS_TOKEN": TOKEN, "HOME": str(self.home)}

    def push(self, path: Path, repo: str, *flags: str) -> None:
        command = [*FREEBITS, "push", str(path), repo, "--quiet", *flags]
        subprocess.run(command, env=self.environment(), check=True)

    def resolve_path(self, repo: str, name: str) -> str:
        """The path of a file's bytes on the server."""
        return f"/api/v1/repos/{repo}/resolve/main/{quote(name)}"

    def wait_until_encoded(self, repo: str, name: str) -> None:
        deadline = time.monotonic() + ENCODE_TIMEOUT_S
        while (state := self.state(repo, name)) != "encoded":
            if time.monotonic() > deadline:
                raise TimeoutError(f"{repo}/{name} is still {state!r} after {ENCODE_TIMEOUT_S} s")
            time.sleep(0.2)

    def wait_until_stored(self, repo: str, name: str) -> int:
        """Bytes the file takes once the worker is through with it: encoded, or found not worth it and left raw."""
        deadline = time.monotonic() + ENCODE_TIMEOUT_S
        path = self.resolve_path(repo, name)
        while (headers := self._head(path))["X-Freebits-State"] == "encoding":
            if time.monotonic() > deadline:
                raise TimeoutError(f"{repo}/{name} is not settled after {ENCODE_TIMEOUT_S} s")
            time.sleep(0.2)
        return int(headers["X-Freebits-Stored-Nbytes"])

    def state(self, repo: str, name: str) -> str | None:
        """raw, encoding or encoded"""
        return self._head(self.resolve_path(repo, name)).get("X-Freebits-State")

    def _head(self, path: str) -> http.client.HTTPMessage:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request("HEAD", path, headers={"Authorization": f"Bearer {TOKEN}"})
            response = connection.getresponse()
            if response.status != http.HTTPStatus.OK:
                raise RuntimeError(f"HEAD {path} answered {response.status}")
            return response.headers
        finally:
            connection.close()


@contextmanager
def running_hub(folder: Path, host: str = "127.0.0.1", flags: Sequence[str] = ()) -> Iterator[RunningHub]:
    """A hub with its data under `folder`, ready to answer; ended on leaving."""
    home = folder / "home"
    home.mkdir(parents=True)
    command = [*FREEBITS, "serve", "--host", host, "--port", "0", "--data", str(folder / "hub"), *flags]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FREEBITS_")}
    log = (folder / "hub.log").open("wb")
    process = subprocess.Popen(
        command,
        env=environment | {"FREEBITS_ADMIN_TOKEN": TOKEN},
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    try:
        port = _port(process, folder / "hub.log")
        _wait_until_ready(host, port)
        yield RunningHub(host, port, home)
    finally:
        process.terminate()
        process.communicate(timeout=30)
        log.close()


def _port(process: subprocess.Popen[str], log: Path) -> int:
    """From the greeting: the first line that holds the hub's address."""
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"http://[^/\s]*:(\d+)", line):
            return int(found[1])
    raise RuntimeError(f"the hub ended with status {process.wait()}:\n{log.read_text()[-2000:]}")


def _wait_until_ready(host: str, port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(host, port, timeout=5)
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/readyz")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        connection.close()
        time.sleep(0.1)
    raise TimeoutError(f"the hub on {host}:{port} did not get ready within {START_TIMEOUT_S} s")
