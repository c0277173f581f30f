"""Traces arrive at a collector that somebody else could have written, and cost nothing when nobody wants them."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

CONTENT = b"0123456789abcdef" * 100_000
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
DEADLINE_S = 60.0


class Collector:
    """An OTLP/HTTP receiver: decodes what is posted to ``/v1/traces``."""

    def __init__(self) -> None:
        received: list[tuple[str, str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.path == "/v1/traces"
                received.extend(_spans(ExportTraceServiceRequest.FromString(body)))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.spans = received  # (service, name, trace id)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def wait_for(self, service: str, name: str) -> str:
        """The trace id of the first such span."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            for found in list(self.spans):
                if found[0] == service and name in found[1]:
                    return found[2]
            assert time.monotonic() < deadline, sorted(set(self.spans))
            time.sleep(0.05)

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()


def _spans(request: ExportTraceServiceRequest) -> Iterator[tuple[str, str, str]]:
    for resource in request.resource_spans:
        attributes = {each.key: each.value.string_value for each in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield attributes["service.name"], span.name, span.trace_id.hex()


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector of its own."""
    made = Collector()
    yield made
    made.close()


def test_a_push_and_its_encoding_are_one_trace(
    make_process: Callable[..., Any],
    connect: Callable[..., Any],
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The caller's trace goes through the request, its statements, and the job that a worker does later."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    served = make_process()
    served.start()
    client = connect(served)
    repo = client.new_repo()
    client.upload(repo, CONTENT)
    client.http.headers["traceparent"] = PARENT
    assert client.commit(repo, {"a": CONTENT}).status_code == 201
    assert collector.wait_for("freebits-api", "/repos/{namespace}/{name}/commits") == TRACE
    assert collector.wait_for("freebits-worker", "attempt") == TRACE
    names = {name.partition(" ")[0] for service, name, trace in collector.spans if trace == TRACE}
    assert {"INSERT", "SELECT"} <= names
    assert not [name for _, name, _ in collector.spans if "readyz" in name]


def test_a_setting_names_the_collector_too(
    make_process: Callable[..., Any], connect: Callable[..., Any], collector: Collector
) -> None:
    """And what was not sent yet is sent when the process ends."""
    served = make_process("--no-worker", "--otel-endpoint", collector.endpoint)
    served.start()
    connect(served).new_repo()
    served.process.terminate()
    served.process.communicate(timeout=DEADLINE_S)
    assert served.process.returncode == 0
    assert collector.wait_for("freebits-api", "POST /api/v1/repos")


def test_nothing_of_it_is_imported_unasked() -> None:
    """A hub that is not traced does not pay for OpenTelemetry (FastAPI looks for its bare interface by itself)."""
    program = (
        "import sys, tempfile, pathlib; from freebits_service import app, settings, telemetry, context\n"
        "chosen = settings.Settings(data=pathlib.Path(tempfile.mkdtemp()))\n"
        "chosen.data.mkdir(exist_ok=True); hub = context.open_hub(chosen)\n"
        "telemetry.configure(chosen, 'x', hub, app.create_app(chosen, hub))\n"
        "assert telemetry.trace_parent() is None\n"
        "heavy = ('opentelemetry.sdk', 'opentelemetry.exporter', 'opentelemetry.instrumentation')\n"
        "sys.exit(any(name.startswith(heavy) for name in sys.modules))\n"
    )
    environment = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_wanted_without_its_packages_is_one_clear_line(
    make_process: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Exit status 2, and what to install."""
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['opentelemetry.exporter'] = None")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    served = make_process("--no-worker", "--otel-endpoint", "http://127.0.0.1:1")
    process = served.spawn()
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 2
    assert "pip install 'freebits[service,otel]'" in served.log()
    assert "Traceback" not in served.log()
