"""What the api image starts, as process 1 of a process namespace, as in a container."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from images import Stage, command_of

BIN = Path(sys.executable).parent
UNSHARE = ["unshare", "--pid", "--fork", "--kill-child"]
DEADLINE_S = 120


def can_unshare() -> bool:
    """Whether this machine lets us make process namespaces."""
    with suppress(OSError):
        return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0
    return False


@pytest.mark.skipif(not can_unshare(), reason="no right to make process namespaces")
def test_process_1_ends_on_sigterm(compose: dict[str, Any], dockerfile: dict[str, Stage], tmp_path: Path) -> None:
    """The kernel ignores signals that process 1 does not handle: ours handles SIGTERM, and its health check works."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    image = dockerfile["api"]
    environment = {**image.environment, "FREEBITS_DATA": str(tmp_path), "FREEBITS_PORT": "0", "PATH": path}
    command = [*UNSHARE, *command_of(compose["services"]["api"])]
    running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert running.stdout
        port = running.stdout.readline().partition(",")[0].rpartition(":")[2]
        check = [part.replace(":8000/", f":{port}/") for part in image.healthcheck]
        _wait_until_healthy(f"http://127.0.0.1:{port}/healthz")
        assert subprocess.run(check, env=environment, check=False).returncode == 0
        (first,) = psutil.Process(running.pid).children()
        first.terminate()
        running.communicate(timeout=DEADLINE_S)
        assert running.returncode == 0
        assert subprocess.run(check, env=environment, stderr=subprocess.DEVNULL, check=False).returncode != 0
    finally:
        running.kill()
        running.communicate()


def _wait_until_healthy(url: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        with suppress(OSError), urllib.request.urlopen(url, timeout=10):
            return
        assert time.monotonic() < deadline
        time.sleep(0.1)
