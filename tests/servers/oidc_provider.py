"""A throw-away OIDC provider: node-oidc-provider (certified) as a process, and a browser that logs in there.

It lives in ``.venv/oidc`` (``make .venv/.oidc``). Run as a program this file is the browser: it logs in at an
authorization URL under a name and follows the way back.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import urljoin

import httpx

CLIENT_ID, CLIENT_SECRET = "freebits-tests", "client-secret-of-the-tests"
MODULES = Path(os.environ.get("FREEBITS_TEST_OIDC") or Path(sys.prefix) / "oidc")
_SCRIPT = Path(__file__).resolve().parent / "oidc" / "provider.mjs"
_REDIRECTS = {301, 302, 303, 307}


class OidcProvider:
    """One issuer with one client."""

    def __init__(self) -> None:
        if not (MODULES / "node_modules" / "oidc-provider").exists():
            raise RuntimeError(f"no OIDC provider in {MODULES}; run `make .venv/.oidc`")
        self._port = _free_port()
        self.process: subprocess.Popen[str]
        self.start()

    @property
    def issuer(self) -> str:
        """What the hub is told, and what is in its ID tokens."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start and wait until it listens; a new process has new signing keys only if told so."""
        self.process = subprocess.Popen(
            ["node", str(_SCRIPT), str(self._port), CLIENT_ID, CLIENT_SECRET],
            cwd=MODULES,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        if self.process.stdout.readline().strip() != "ready":
            raise RuntimeError("the OIDC provider did not start")

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


def log_in(authorize_url: str, login: str) -> str:
    """Log in as `login` and agree; the URL that the browser is sent back to, which is not opened."""
    origin = re.match(r"https?://[^/]+", authorize_url)
    assert origin is not None
    with httpx.Client(timeout=60) as browser:
        reply, url = browser.get(authorize_url), authorize_url
        while True:
            if reply.status_code in _REDIRECTS:
                url = urljoin(url, reply.headers["Location"])
                if not url.startswith(origin[0] + "/"):
                    return url
                reply = browser.get(url)
                continue
            prompt = re.search(r'name="prompt" value="(\w+)"', reply.text)
            assert prompt is not None, reply.text[:2000]
            form = {"prompt": prompt[1], **({"login": login, "password": "any"} if prompt[1] == "login" else {})}
            action = re.search(r'action="([^"]+)"', reply.text)
            assert action is not None
            url = urljoin(url, action[1])
            reply = browser.post(url, data=form)


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
        return port


if __name__ == "__main__":
    httpx.get(log_in(sys.argv[2], sys.argv[1]), timeout=60).raise_for_status()
