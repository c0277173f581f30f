"""Bytes over HTTP with the standard library: ranged GET into one buffer, PUT of a piece of a file.

http.client's `readinto` moves three to four times as many bytes per second as httpx's streams. Connections
are kept and reused, redirects are followed without handing the token to another host, and proxies of the
environment apply.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import select
import socket
import ssl
import struct
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urljoin, urlsplit

from freebits.errors import ProtocolError, api_error
from freebits.local_bytes import file_changed
from freebits.retry import RETRIED_STATUSES, Retry, TryAgain, retry_after_s, unreachable
from freebits.steps import PutPart

PIECE_NBYTES = 256 << 10
_MAX_REDIRECTS = 5
_MAX_JSON_NBYTES = 1 << 20
_BROKEN = (OSError, http.client.HTTPException)


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and body of a GET."""

    status: int
    headers: Mapping[str, str]
    body: memoryview


class BlobTransport:
    """GET ranges from, and PUT parts to, one hub. Thread-safe; close it when done."""

    def __init__(
        self,
        endpoint: str,
        token: str | None,
        retry: Retry,
        timeout_s: float,
        ssl_context: Callable[[], ssl.SSLContext],
    ) -> None:
        self._endpoint, self._retry = endpoint, retry
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._connections = _Connections(timeout_s, ssl_context)

    def get_range(self, path: str, headers: Mapping[str, str], start: int, stop: int) -> Answer:
        """Bytes [start, stop) of `path`, fewer at the end of the file.

        The answer is 206, or 200 with a whole file that fits into the range. Raises TransportError after the
        last retry, APIError when the hub refuses.
        """
        asked = {**self._headers, **headers, "Range": f"bytes={start}-{stop - 1}"}
        return self._retry.run(lambda: self._get(self._endpoint + path, asked, stop - start))

    def put(self, part: PutPart) -> bool:
        """PUT a part; False when `part.may_send` refused before the end."""
        headers = {**self._headers, "Content-Length": str(part.stop - part.start)}
        headers["X-Part-SHA256"] = _digest(part.source, part.start, part.stop)
        return self._retry.run(lambda: self._put(self._endpoint + part.path, headers, part))

    def close(self) -> None:
        """Close all connections, also those in use, so that threads waiting on them wake up."""
        self._connections.close()

    def _get(self, url: str, headers: dict[str, str], limit_nbytes: int) -> Answer:
        for _ in range(_MAX_REDIRECTS):
            with self._exchange(url) as connection:
                connection.request("GET", _target(url), headers=headers)
                answer = _read_answer(connection, limit_nbytes)
            location = answer.headers.get("Location") or answer.headers.get("location")
            if answer.status not in {301, 302, 303, 307, 308} or not location:
                _raise_for(answer)
                return answer
            url, previous = urljoin(url, location), url
            if _origin(urlsplit(url)) != _origin(urlsplit(previous)):
                headers = {key: value for key, value in headers.items() if key != "Authorization"}
        raise ProtocolError(f"more than {_MAX_REDIRECTS} redirects from {self._endpoint}; check the endpoint")

    def _put(self, url: str, headers: dict[str, str], part: PutPart) -> bool:
        sent = 0
        try:
            with part.source.open("rb") as file, self._exchange(url) as connection:
                connection.putrequest("PUT", _target(url), skip_accept_encoding=True)
                for key, value in headers.items():
                    connection.putheader(key, value)
                connection.endheaders()
                file.seek(part.start)
                with _early_answer(connection):
                    while sent < part.stop - part.start:
                        self._retry.check_stop()
                        piece = file.read(min(PIECE_NBYTES, part.stop - part.start - sent))
                        if not piece:
                            raise file_changed(part.source)
                        if not part.may_send(len(piece)):
                            _abandon(connection)
                            return False
                        sent += len(piece)
                        connection.send(piece)
                answer = _read_answer(connection, _MAX_JSON_NBYTES)
            _raise_for(answer)
        except BaseException:
            # These bytes have to be sent again, or never: they do not count as progress.
            part.may_send(-sent)
            raise
        return True

    @contextmanager
    def _exchange(self, url: str) -> Iterator[http.client.HTTPConnection]:
        """A connection for one request; kept for the next one if the answer was read to its end."""
        parts = urlsplit(url)
        connection = self._connections.take(parts)
        try:
            yield connection
        except _BROKEN as error:
            connection.close()
            self._connections.forget(connection)
            self._retry.check_stop()
            raise TryAgain(unreachable(f"{parts.scheme}://{parts.netloc}", error)) from error
        except BaseException:
            connection.close()
            self._connections.forget(connection)
            raise
        self._connections.give_back(parts, connection)


class _Connections:
    """Idle connections by origin, and the sockets in use."""

    def __init__(self, timeout_s: float, ssl_context: Callable[[], ssl.SSLContext]) -> None:
        self._timeout_s, self._ssl_context = timeout_s, ssl_context
        self._idle: dict[tuple[str, str], list[http.client.HTTPConnection]] = {}
        self._busy: set[http.client.HTTPConnection] = set()
        self._lock = threading.Lock()

    def take(self, url: SplitResult) -> http.client.HTTPConnection:
        with self._lock:
            idle = self._idle.get(_origin(url))
            connection = idle.pop() if idle else self._new(url)
        if _is_stale(connection):
            connection.close()
        with self._lock:
            self._busy.add(connection)
        return connection

    def give_back(self, url: SplitResult, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._busy.discard(connection)
            self._idle.setdefault(_origin(url), []).append(connection)

    def forget(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._busy.discard(connection)

    def close(self) -> None:
        with self._lock:
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
        proxy = _proxy(url)
        via = urlsplit(proxy) if proxy else url
        if not via.hostname:
            raise ProtocolError(f"{via.geturl()!r} is not an address; check the endpoint and the proxy settings")
        if url.scheme == "https":
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                via.hostname, via.port, timeout=self._timeout_s, context=self._ssl_context()
            )
            if proxy:
                connection.set_tunnel(url.hostname or "", url.port or 443)
        else:
            connection = http.client.HTTPConnection(via.hostname, via.port or 80, timeout=self._timeout_s)
        connection.blocksize = PIECE_NBYTES
        return connection


@contextmanager
def _early_answer(connection: http.client.HTTPConnection) -> Iterator[None]:
    """A hub that refuses a part answers and closes before it has read all of it: read that answer."""
    try:
        yield
    except (BrokenPipeError, ConnectionResetError) as error:
        try:
            answer = _read_answer(connection, _MAX_JSON_NBYTES)
        except _BROKEN:
            raise error from None
        connection.close()
        _raise_for(answer)
        raise


def _abandon(connection: http.client.HTTPConnection) -> None:
    """Reset the connection: what waits in the send buffer, megabytes perhaps, must not use up the link."""
    if connection.sock:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _is_stale(connection: http.client.HTTPConnection) -> bool:
    """True when the other side closed an idle connection; http.client opens it again by itself."""
    return connection.sock is not None and bool(select.select([connection.sock], [], [], 0)[0])


def _proxy(url: SplitResult) -> str | None:
    proxy = urllib.request.getproxies().get(url.scheme)
    if not proxy or urllib.request.proxy_bypass(url.hostname or ""):
        return None
    return proxy


def _target(url: str) -> str:
    """What goes into the request line: the whole URL for a plain proxy, else path and query."""
    parts = urlsplit(url)
    direct = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    return url if parts.scheme == "http" and _proxy(parts) else direct


def _origin(url: SplitResult) -> tuple[str, str]:
    return url.scheme, url.netloc


def _read_answer(connection: http.client.HTTPConnection, limit_nbytes: int) -> Answer:
    """The answer with its whole body in one buffer; IncompleteRead when the hub broke off.

    Never allocates more than a body may have: `limit_nbytes`, or a small bound for errors.
    """
    response = connection.getresponse()
    limit_nbytes = limit_nbytes if response.status < 300 else _MAX_JSON_NBYTES
    nbytes = response.length
    if nbytes is None:
        body = memoryview(response.read(limit_nbytes + 1))
    elif nbytes <= limit_nbytes:
        body = memoryview(bytearray(nbytes))
        _fill(response, body)
    if nbytes is None or nbytes > limit_nbytes:
        connection.close()
    if (len(body) if nbytes is None else nbytes) > limit_nbytes:
        raise ProtocolError(
            f"HTTP {response.status} with more than the {limit_nbytes} bytes asked for; "
            "a proxy between here and the hub may strip Range headers"
        )
    return Answer(response.status, dict(response.headers), body)


def _fill(response: http.client.HTTPResponse, body: memoryview) -> None:
    filled = 0
    while filled < len(body):
        received = response.readinto(body[filled:])
        if not received:
            raise http.client.IncompleteRead(b"", len(body) - filled)
        filled += received
    response.read()


def _digest(source: Path, start: int, stop: int) -> str:
    digest = hashlib.sha256()
    with source.open("rb") as file:
        file.seek(start)
        for piece_start in range(start, stop, PIECE_NBYTES):
            digest.update(file.read(min(PIECE_NBYTES, stop - piece_start)))
    return digest.hexdigest()


def _raise_for(answer: Answer) -> None:
    if answer.status < 300:
        return
    try:
        body: object = json.loads(bytes(answer.body))
    except ValueError:
        body = None
    error = api_error(answer.status, body)
    if answer.status in RETRIED_STATUSES:
        raise TryAgain(error, retry_after_s(answer.headers))
    raise error
