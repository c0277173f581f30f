"""Bytes over HTTP with the standard library: ranged GET into one buffer, PUT of a piece of a file.

http.client's `readinto` moves three to four times as many bytes per second as httpx's streams. Connections
are kept and reused, redirects are followed without handing the token to another host, and proxies of the
environment apply.

A hub may send us to its store, for ranges by a redirect and for parts by a URL it is asked for. Such a URL is good for
some minutes: where a redirect led is remembered for the next ranges of the file until the store refuses it, then the
hub is asked anew.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import ssl
import struct
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from freebits import wire
from freebits.connections import PIECE_NBYTES, Connections, origin_of, proxy_for
from freebits.errors import Damaged, ProtocolError, TransportError, api_error
from freebits.local_bytes import file_changed
from freebits.retry import RETRIED_STATUSES, Retry, TryAgain, retry_after_s, unreachable
from freebits.steps import PutPart

_MAX_REDIRECTS = 5
_MAX_JSON_NBYTES = 1 << 20
_BROKEN = (OSError, http.client.HTTPException)


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and body of a GET."""

    status: int
    headers: Mapping[str, str]
    body: memoryview


@dataclass(frozen=True, slots=True)
class _Moved:
    """Where the hub sent us for a file, and what it said of the bytes there."""

    url: str
    headers: Mapping[str, str]

    def signed(self, answer: Answer) -> Answer:
        """The store's answer with the hub's word on what the bytes are."""
        return Answer(answer.status, {**answer.headers, **self.headers}, answer.body)


class BlobTransport:
    """GET ranges from, and PUT parts to, one hub. Thread-safe; close it when done."""

    def __init__(
        self,
        endpoint: str,
        token: str | None,
        retry: Retry,
        timeout_s: float,
        certificates: ssl.SSLContext,
    ) -> None:
        self._endpoint, self._retry = endpoint, retry
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._connections = Connections(timeout_s, certificates)
        self._moved: dict[tuple[str, str | None], _Moved] = {}

    def get_range(self, path: str, headers: Mapping[str, str], start: int, stop: int) -> Answer:
        """Bytes [start, stop) of `path`, fewer at the end of the file.

        The answer is 206, or 200 with a whole file that fits into the range. Raises TransportError after the
        last retry, APIError when the hub refuses.
        """
        asked = {**headers, "Range": f"bytes={start}-{stop - 1}"}
        return self._retry.run(lambda: self._get(path, asked, stop - start))

    def put(self, part: PutPart) -> bool:
        """PUT a part; False when `part.may_send` refused before the end."""
        headers = {"Content-Length": str(part.stop - part.start)}
        if part.urls_path is not None:
            # The store knows neither the token nor our digests; MD5 is what every S3 server compares.
            digest = _digest(part.source, part.start, part.stop, hashlib.md5(usedforsecurity=False))
            headers["Content-MD5"] = b64encode(digest).decode()
            path = part.urls_path
            return self._retry.run(lambda: self._put(self._part_url(path), headers, part, _raise_for_store))
        digest = _digest(part.source, part.start, part.stop, hashlib.sha256())
        headers = {**self._headers, **headers, "X-Part-SHA256": digest.hex()}
        return self._retry.run(lambda: self._put(self._endpoint + part.path, headers, part, _raise_for))

    def close(self) -> None:
        """Close all connections, also those in use, so that threads waiting on them wake up."""
        self._connections.close()

    def _get(self, path: str, asked: Mapping[str, str], limit_nbytes: int) -> Answer:
        place = path, asked.get("Accept")
        moved = self._moved.get(place)
        if moved is None:
            answer, moved = self._get_from_hub(self._endpoint + path, {**self._headers, **asked}, limit_nbytes)
            if moved is None:
                _raise_for(answer)
                return answer
            self._moved[place] = moved
        else:
            answer = self._get_once(moved.url, asked, limit_nbytes)
        if answer.status >= 300:
            self._moved.pop(place, None)
            _raise_for_store(answer)
        return moved.signed(answer)

    def _get_from_hub(self, url: str, headers: dict[str, str], limit_nbytes: int) -> tuple[Answer, _Moved | None]:
        """The answer, and where another host gave it."""
        moved: _Moved | None = None
        for _ in range(_MAX_REDIRECTS):
            answer = self._get_once(url, headers, limit_nbytes)
            location = answer.headers.get("Location") or answer.headers.get("location")
            if answer.status not in {301, 302, 303, 307, 308} or not location:
                return answer, moved
            url, previous = urljoin(url, location), url
            if origin_of(urlsplit(url)) != origin_of(urlsplit(previous)):
                headers = {key: value for key, value in headers.items() if key != "Authorization"}
                moved = _Moved(url, {**_facts(answer), **(moved.headers if moved else {})})
            elif moved:
                moved = _Moved(url, moved.headers)
        raise ProtocolError(f"more than {_MAX_REDIRECTS} redirects from {self._endpoint}; check the endpoint")

    def _get_once(self, url: str, headers: Mapping[str, str], limit_nbytes: int) -> Answer:
        with self._exchange(url) as connection:
            connection.request("GET", _target(url), headers=dict(headers))
            return _read_answer(connection, limit_nbytes)

    def _part_url(self, path: str) -> str:
        """The store's URL for a part, which the hub makes when it is asked."""
        answer = self._get_once(self._endpoint + path, self._headers, _MAX_JSON_NBYTES)
        _raise_for(answer)
        return wire.part_url(json.loads(bytes(answer.body)))

    def _put(self, url: str, headers: dict[str, str], part: PutPart, judge: Callable[[Answer], None]) -> bool:
        sent = 0
        with ExitStack() as undo:
            # Bytes that have to be sent again, or never, do not count as progress.
            undo.callback(lambda: part.may_send(-sent))
            with part.source.open("rb") as file, self._exchange(url) as connection:
                connection.putrequest("PUT", _target(url), skip_accept_encoding=True)
                for key, value in headers.items():
                    connection.putheader(key, value)
                connection.endheaders()
                file.seek(part.start)
                with _early_answer(connection, judge):
                    while sent < part.stop - part.start:
                        self._retry.check_stop()
                        piece = file.read(min(PIECE_NBYTES, part.stop - part.start - sent))
                        if not piece:
                            raise file_changed(part.source)
                        if not part.may_send(len(piece)):
                            _abandon(connection)
                            undo.pop_all()
                            return False
                        sent += len(piece)
                        connection.send(piece)
                answer = _read_answer(connection, _MAX_JSON_NBYTES)
            judge(answer)
            undo.pop_all()
        return True

    @contextmanager
    def _exchange(self, url: str) -> Iterator[http.client.HTTPConnection]:
        """A connection for one request; kept for the next one if the answer was read to its end."""
        parts = urlsplit(url)
        connection = self._connections.take(parts)
        with ExitStack() as undo:
            undo.callback(self._connections.forget, connection)
            undo.callback(connection.close)
            try:
                yield connection
            except _BROKEN as error:
                self._retry.check_stop()
                raise TryAgain(unreachable(f"{parts.scheme}://{parts.netloc}", error)) from error
            undo.pop_all()
        self._connections.give_back(parts, connection)


@contextmanager
def _early_answer(connection: http.client.HTTPConnection, judge: Callable[[Answer], None]) -> Iterator[None]:
    """A hub that refuses a part answers and closes before it has read all of it: read that answer."""
    try:
        yield
    except (BrokenPipeError, ConnectionResetError) as error:
        try:
            answer = _read_answer(connection, _MAX_JSON_NBYTES)
        except _BROKEN:
            raise error from None
        connection.close()
        judge(answer)
        raise


def _abandon(connection: http.client.HTTPConnection) -> None:
    """Reset the connection: what waits in the send buffer, megabytes perhaps, must not use up the link."""
    if connection.sock:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _target(url: str) -> str:
    """What goes into the request line: the whole URL for a plain proxy, else path and query."""
    parts = urlsplit(url)
    direct = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    return url if parts.scheme == "http" and proxy_for(parts) else direct


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


def _digest(source: Path, start: int, stop: int, digest: hashlib._Hash) -> bytes:
    with source.open("rb") as file:
        file.seek(start)
        for piece_start in range(start, stop, PIECE_NBYTES):
            digest.update(file.read(min(PIECE_NBYTES, stop - piece_start)))
    return digest.digest()


def _facts(redirect: Answer) -> dict[str, str]:
    """What a hub's redirect says of the bytes it leads to."""
    return {
        name: value
        for name, value in redirect.headers.items()
        if name.lower() == "etag" or name.lower().startswith("x-freebits-")
    }


def _raise_for_store(answer: Answer) -> None:
    """A store's errors are not the hub's: an expired URL, a busy store. Another try asks the hub for another URL."""
    if answer.status >= 300:
        raise TryAgain(
            TransportError(
                f"the hub's store answered HTTP {answer.status}; run the same command again, it resumes, and if it "
                "repeats tell the hub's administrator"
            ),
            retry_after_s(answer.headers),
        )


def _raise_for(answer: Answer) -> None:
    if answer.status < 300:
        return
    try:
        body: object = json.loads(bytes(answer.body))
    except ValueError:
        body = None
    error = api_error(answer.status, body)
    if answer.status in RETRIED_STATUSES and not isinstance(error, Damaged):
        raise TryAgain(error, retry_after_s(answer.headers))
    raise error
