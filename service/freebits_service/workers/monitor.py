"""``/metrics`` and ``/healthz`` of a worker process, on a port of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ..metrics import PROCESS
from ..settings import InvalidSettings, Settings


def serve_monitor(settings: Settings, is_alive: Callable[[], bool]) -> ThreadingHTTPServer | None:
    """Serve in a thread until the process ends; None when no port is set.

    `is_alive` decides ``/healthz``: it must not ask the database, because restarting a worker does not mend that.
    Raises InvalidSettings when the port is taken.
    """
    if not settings.metrics_port:
        return None

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(PROCESS))
            elif self.path == "/healthz" and is_alive():
                self._answer(HTTPStatus.OK, "application/json", b'{"status":"ok"}')
            elif self.path == "/healthz":
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "application/json", b'{"status":"stuck"}')
            else:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"")

        def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes are not worth a line."""

    try:
        server = ThreadingHTTPServer((settings.metrics_host, settings.metrics_port), Handler)
    except OSError as error:
        raise InvalidSettings(
            f"cannot serve metrics on {settings.metrics_host}:{settings.metrics_port}: {error.strerror}"
        ) from None
    threading.Thread(target=server.serve_forever, name="monitor", daemon=True).start()
    return server
