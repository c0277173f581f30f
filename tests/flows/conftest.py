"""A real hub in a process of its own, a link to it that can be slow or broken, and the command line."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

TOKEN = "fb-flows-admin-0123456789"
PART_NBYTES = 1 << 20


class HubProcess:
    """`freebits serve` on a folder; can be killed and started again on the same port."""

    def __init__(self, data: Path, *flags: str) -> None:
        self._data, self._flags, self._port = data, flags, 0
        self.start()

    def start(self) -> None:
        """Start, and wait until it says where it listens."""
        command = [sys.executable, "-m", "freebits", "serve", "--port", str(self._port), "--data", self._data]
        self._log = self._data.with_suffix(".log").open("a")
        self._process = subprocess.Popen(
            [*map(str, command), "--part-nbytes", str(PART_NBYTES), *self._flags],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, "FREEBITS_ADMIN_TOKEN": TOKEN},
        )
        assert self._process.stdout
        found = re.search(r"http://127\.0\.0\.1:(\d+)", self._process.stdout.readline())
        assert found, self._data.with_suffix(".log").read_text()
        self._port = int(found[1])
        self.endpoint = f"http://127.0.0.1:{self._port}"
        self._wait_until_healthy()

    def stop(self) -> None:
        """End it as an administrator does."""
        self._process.terminate()
        self._process.communicate(timeout=20)
        self._log.close()

    def kill(self) -> None:
        """`kill -9`."""
        self._process.kill()
        self._process.communicate(timeout=20)
        self._log.close()

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(f"{self.endpoint}/healthz"):
                    return
            except OSError:
                assert time.monotonic() < deadline, self._data.with_suffix(".log").read_text()
                time.sleep(0.05)


class Link:
    """A TCP proxy to the hub with a rate in bytes/s for both directions together, that can cut connections."""

    def __init__(self, endpoint: str) -> None:
        self._target = ("127.0.0.1", int(endpoint.rpartition(":")[2]))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.bytes_per_s = float("inf")
        self.up_nbytes = self.down_nbytes = 0
        self.cut_every_nbytes: int | None = None
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    def close(self) -> None:
        """Stop listening and cut everything."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()
        for thread in self._threads:
            thread.join()
        for side in self._sockets:
            side.close()

    def cut(self) -> None:
        """Break all connections."""
        _shut_down(*self._sockets)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
                far = socket.create_connection(self._target)
            except OSError:
                if self._listening.fileno() < 0:
                    return
                near.close()
                continue
            self._sockets += [near, far]
            self._run(self._copy, near, far, True)
            self._run(self._copy, far, near, False)

    def _run(self, target: Callable[..., None], *arguments: Any) -> None:
        self._threads.append(threading.Thread(target=target, args=arguments, daemon=True))
        self._threads[-1].start()

    def _copy(self, source: socket.socket, sink: socket.socket, is_up: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 15):
                sink.sendall(data)
                self._count(len(data), is_up)
        _shut_down(source, sink)

    def _count(self, nbytes: int, is_up: bool) -> None:
        with self._lock:
            before = self.up_nbytes + self.down_nbytes
            self.up_nbytes += nbytes if is_up else 0
            self.down_nbytes += 0 if is_up else nbytes
            if self.bytes_per_s != float("inf"):
                time.sleep(nbytes / self.bytes_per_s)
        if (
            self.cut_every_nbytes
            and (before + nbytes) // self.cut_every_nbytes > before // self.cut_every_nbytes
        ):
            self.cut()


def _shut_down(*sockets: socket.socket) -> None:
    """End connections; close() would wait for the threads that read from them."""
    for side in sockets:
        with suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="session")
def shared_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """One hub for all tests that leave it as they found it; each test uses repos of its own."""
    hub = HubProcess(tmp_path_factory.mktemp("hub") / "data")
    yield hub
    hub.stop()


@pytest.fixture(scope="session")
def start_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., HubProcess]]:
    """Start hubs with flags of their own; all are stopped at the end."""
    started: list[HubProcess] = []

    def start(*flags: str) -> HubProcess:
        started.append(HubProcess(tmp_path_factory.mktemp("hub") / "data", *flags))
        return started[-1]

    yield start
    for hub in started:
        hub.stop()


@pytest.fixture
def own_hub(tmp_path: Path) -> Iterator[HubProcess]:
    """A hub that a test may kill."""
    hub = HubProcess(tmp_path / "data")
    yield hub
    hub.stop()


@pytest.fixture
def make_own_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[Callable[..., HubProcess]]:
    """Start a hub with flags of its own; the environment points to it."""
    started: list[HubProcess] = []

    def make(*flags: str) -> HubProcess:
        started.append(HubProcess(tmp_path / "data", *flags))
        monkeypatch.setenv("FREEBITS_ENDPOINT", started[-1].endpoint)
        return started[-1]

    yield make
    for hub in started:
        hub.stop()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own with the token in the environment."""
    for name in list(os.environ):
        if name.startswith(("FREEBITS_", "HF_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FREEBITS_TOKEN", TOKEN)
    return tmp_path


@pytest.fixture
def link_to(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[HubProcess], Link]]:
    """Links to hubs; the environment points to the latest."""
    links: list[Link] = []

    def open_link(hub: HubProcess) -> Link:
        links.append(Link(hub.endpoint))
        monkeypatch.setenv("FREEBITS_ENDPOINT", links[-1].endpoint)
        return links[-1]

    yield open_link
    for link in links:
        link.close()


@pytest.fixture
def link(link_to: Callable[[HubProcess], Link], shared_hub: HubProcess) -> Link:
    """A link to the shared hub."""
    return link_to(shared_hub)


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


@pytest.fixture
def cli(start_cli: Any) -> Callable[..., tuple[int, str, str]]:
    """Run `freebits` to its end: exit code, stdout, stderr."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        process = start_cli(*arguments)
        stdout, stderr = process.communicate(timeout=120)
        return process.returncode, stdout, stderr

    return run
