"""The topology of docker-compose.yml as local processes: ``make stack``.

Postgres, an S3 server, ``freebits migrate``, the bucket, api replicas behind the proxy, workers and, where its binary
is found, Prometheus. What runs is read from the Dockerfile and the compose file; only addresses and folders change.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from images import ROOT, command_of, environment_of, rendered_compose
from postgres import PostgresServer
from s3 import ACCESS_KEY, SECRET_KEY, S3Server

ADMIN_TOKEN = "fb-stack-admin-0123456789abcdef"
DEADLINE_S = 180.0
BIN = Path(sys.executable).parent


@dataclass(slots=True)
class Process:
    """One process of the stack and what it logs."""

    name: str
    popen: subprocess.Popen[bytes]
    log_path: Path
    port: int = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        """What it said."""
        return self.log_path.read_text(errors="replace")

    def kill(self) -> None:
        """``kill -9``."""
        self.popen.kill()
        self.popen.wait()

    def terminate(self) -> int:
        """Ask it to end, as an engine does; the exit status."""
        self.popen.terminate()
        return self.popen.wait(DEADLINE_S)


class Stack:
    """All of it; `close` ends what still runs and removes the folder."""

    def __init__(self, replicas: int = 2, workers: int = 2, port: int = 0, **settings: str) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="freebits-stack-"))
        self._settings = settings  # of every process of ours, over what the compose file says
        self.processes: list[Process] = []
        self.postgres = PostgresServer(durable=True, port=free_port())
        self.s3 = S3Server()
        self._services = self._rendered()
        self._prepare()
        self.apis = [self.start_api() for _ in range(replicas)]
        self.workers = [self.start_worker() for _ in range(workers)]
        for process in (*self.apis, *self.workers):
            self.wait_until_ready(process)
        self.proxy = self._start_proxy(port or free_port())
        self.prometheus = self._start_prometheus()

    def start_api(self) -> Process:
        """One more replica; `wait_until_ready` waits for it."""
        port = free_port()
        return self._start("api", port, FREEBITS_HOST="127.0.0.1", FREEBITS_PORT=str(port))

    def start_worker(self) -> Process:
        """One more worker."""
        port = free_port()
        return self._start("worker", port, FREEBITS_METRICS_HOST="127.0.0.1", FREEBITS_METRICS_PORT=str(port))

    def wait_until_ready(self, process: Process) -> None:
        """Wait until a replica can serve, a worker lives."""
        path = "/readyz" if process.name.startswith("api") else "/healthz"
        deadline = time.monotonic() + DEADLINE_S
        while not _answers(process.url + path):
            if process.popen.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{process.name} did not start:\n{process.log()[-4000:]}")
            time.sleep(0.1)

    def close(self) -> None:
        """End everything, gracefully where it answers."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                process.popen.terminate()
        for process in self.processes:
            try:
                process.popen.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        self.s3.close()
        self.postgres.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def _rendered(self) -> dict[str, Any]:
        values = {
            "POSTGRES_PASSWORD": "not-asked-for",
            "S3_ACCESS_KEY": ACCESS_KEY,
            "S3_SECRET_KEY": SECRET_KEY,
            "FREEBITS_ADMIN_TOKEN": ADMIN_TOKEN,
            "FREEBITS_S3_PUBLIC_ENDPOINT": self.s3.endpoint,
            "FREEBITS_FORWARDED_ALLOW": "127.0.0.1",
            "GRAFANA_PASSWORD": "unused",
        }
        services: dict[str, Any] = rendered_compose(values)["services"]
        return services

    def _prepare(self) -> None:
        self.postgres.execute("CREATE ROLE freebits LOGIN PASSWORD 'not-asked-for'")
        self.postgres.execute("CREATE DATABASE freebits OWNER freebits")
        for name in ("migrate", "bucket"):
            process = self._start(name, 0)
            if process.popen.wait(DEADLINE_S) != 0:
                raise RuntimeError(f"{name} failed:\n{process.log()}")
            self.processes.remove(process)

    def _start(self, service: str, port: int, **local: str) -> Process:
        """Run a service's command with its environment; only addresses and folders differ."""
        name = f"{service}-{len(self.processes)}"
        described = self._services[service]
        environment = {
            **{key: self._local(value) for key, value in environment_of(described).items()},
            "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
            "FREEBITS_DATA": str(self.root / name),
            **self._settings,
            **local,
        }
        command = [part.replace("/docker/", f"{ROOT}/docker/") for part in command_of(described)]
        return self._spawn(name, command, environment, port)

    def _local(self, value: str) -> str:
        return value.replace("database:5432", f"127.0.0.1:{self.postgres.port}").replace(
            "http://store:8333", self.s3.endpoint
        )

    def _spawn(self, name: str, command: Iterable[str], environment: dict[str, str], port: int) -> Process:
        log_path = self.root / f"{name}.log"
        with log_path.open("ab") as log:
            popen = subprocess.Popen(
                list(command),
                env=environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.root,
                start_new_session=True,
            )
        self.processes.append(Process(name, popen, log_path, port))
        return self.processes[-1]

    def _start_proxy(self, port: int) -> Process:
        environment = {
            "HOME": str(self.root),
            "XDG_DATA_HOME": str(self.root / "caddy"),
            "XDG_CONFIG_HOME": str(self.root / "caddy"),
            "FREEBITS_SITE": f"http://127.0.0.1:{port}",
            "FREEBITS_UPSTREAMS": "to " + " ".join(f"127.0.0.1:{api.port}" for api in self.apis),
        }
        command = [str(BIN / "caddy"), "run", "--adapter", "caddyfile", "--config", f"{ROOT}/docker/caddy/Caddyfile"]
        proxy = self._spawn("proxy", command, environment, port)
        _wait(lambda: _listens(port), "the proxy", proxy)
        return proxy

    def _start_prometheus(self) -> Process | None:
        binary = BIN / "prometheus"
        if not binary.exists():
            return None
        port, folder = free_port(), self.root / "prometheus"
        folder.mkdir()
        shutil.copy(ROOT / "docker" / "prometheus" / "alerts.yml", folder)
        jobs = [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{each.port}" for each in processes]}]}
            for job, processes in (("freebits-api", self.apis), ("freebits-worker", self.workers))
        ]
        config = {"global": {"scrape_interval": "1s"}, "rule_files": ["alerts.yml"], "scrape_configs": jobs}
        (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
        command = [
            str(binary),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        prometheus = self._spawn("prometheus", command, {"HOME": str(self.root)}, port)
        _wait(lambda: _answers(f"{prometheus.url}/-/ready"), "Prometheus", prometheus)
        return prometheus


def free_port() -> int:
    """A port nobody listens on now."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
        return port


def _wait(condition: Callable[[], bool], what: str, process: Process) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if process.popen.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not start:\n{process.log()[-4000:]}")
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def main() -> None:
    """Start it, say how to use it, wait for Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print("starting Postgres, S3, 2 api replicas, 2 workers and the proxy ...", flush=True)
    stack = Stack(port=int(os.environ.get("PORT", "8080")))
    try:
        print(_greeting(stack), flush=True)
        signal.pause()
    except KeyboardInterrupt:
        print("\nending", flush=True)
    finally:
        stack.close()


def _greeting(stack: Stack) -> str:
    processes = ", ".join(f"{each.name} {each.url}" for each in (*stack.apis, *stack.workers))
    where = stack.prometheus.url if stack.prometheus else "no Prometheus binary; `make lint-docker` fetches one"
    return f"""
  log in       {BIN}/freebits login --endpoint {stack.proxy.url} --token {ADMIN_TOKEN}
  push         {BIN}/freebits push tests/data/checkpoints/stories260k-bf16 admin/stories
  pull         {BIN}/freebits pull admin/stories -o /tmp/stories
  metrics      /metrics of {processes}
  Prometheus   {where}
  database     {stack.postgres.url("freebits")}
  store        {stack.s3.endpoint}, bucket freebits, key {ACCESS_KEY}, secret {SECRET_KEY}
  logs         {stack.root}/*.log
Ctrl-C ends and removes all of it.
"""


if __name__ == "__main__":
    main()
