"""Connections of http.client, kept and reused, by the proxies of the environment. Thread-safe."""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import threading
import urllib.request
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit

from freebits.errors import ProtocolError

PIECE_NBYTES = 256 << 10


class Connections:
    """Idle connections by origin, and the sockets in use."""

    def __init__(self, timeout_s: float, certificates: ssl.SSLContext) -> None:
        self._timeout_s, self._certificates = timeout_s, certificates
        self._idle: dict[tuple[str, str], list[http.client.HTTPConnection]] = {}
        self._busy: set[http.client.HTTPConnection] = set()
        self._is_closed = False
        self._lock = threading.Lock()

    def take(self, url: SplitResult) -> http.client.HTTPConnection:
        """A connection to where `url` is; hand it to `give_back` or `forget`."""
        with self._lock:
            idle = self._idle.get(origin_of(url))
            connection = idle.pop() if idle else self._new(url)
        if _is_stale(connection):
            connection.close()
        with self._lock:
            self._busy.add(connection)
        return connection

    def give_back(self, url: SplitResult, connection: http.client.HTTPConnection) -> None:
        """Keep the connection for the next request to the same place."""
        with self._lock:
            self._busy.discard(connection)
            if not self._is_closed:
                self._idle.setdefault(origin_of(url), []).append(connection)
                return
        connection.close()

    def forget(self, connection: http.client.HTTPConnection) -> None:
        """The connection is closed and will not come back."""
        with self._lock:
            self._busy.discard(connection)

    def close(self) -> None:
        """Close idle connections; wake up whoever waits on one in use."""
        with self._lock:
            self._is_closed = True
            idle = [connection for kept in self._idle.values() for connection in kept]
            self._idle.clear()
            busy = list(self._busy)
        for connection in idle:
            connection.close()
        for connection in busy:
            # Closing the file descriptor under a reading thread is unsafe; shutting the socket down wakes it.
            with suppress(OSError):
                if connection.sock:
                    connection.sock.shutdown(socket.SHUT_RDWR)

    def _new(self, url: SplitResult) -> http.client.HTTPConnection:
        proxy = proxy_for(url)
        via = urlsplit(proxy) if proxy else url
        if not via.hostname:
            raise ProtocolError(f"{via.geturl()!r} is not an address; check the endpoint and the proxy settings")
        if url.scheme == "https":
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                via.hostname, via.port, timeout=self._timeout_s, context=self._certificates
            )
            if proxy:
                connection.set_tunnel(url.hostname or "", url.port or 443)
        else:
            connection = http.client.HTTPConnection(via.hostname, via.port or 80, timeout=self._timeout_s)
        connection.blocksize = PIECE_NBYTES
        return connection


def _is_stale(connection: http.client.HTTPConnection) -> bool:
    """True when the other side closed an idle connection; http.client opens it again by itself."""
    return connection.sock is not None and bool(select.select([connection.sock], [], [], 0)[0])


def proxy_for(url: SplitResult) -> str | None:
    """The proxy that the environment wants for `url`."""
    proxy = urllib.request.getproxies().get(url.scheme)
    if not proxy or urllib.request.proxy_bypass(url.hostname or ""):
        return None
    return proxy


def origin_of(url: SplitResult) -> tuple[str, str]:
    """Who answers for `url`."""
    return url.scheme, url.netloc
