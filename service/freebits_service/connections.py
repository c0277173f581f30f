"""What a connection may take before anything it sends is understood: time, header bytes, places.

uvicorn parses and answers; it waits for ever for a header that trickles in, a body that hardly comes, or an answer
that nobody reads, and takes headers of any length. This subclass of its protocol adds those limits and nothing else.
One timer per process looks at all connections once a second; that costs a microsecond each.

    connected ──▶ header ──▶ body ──▶ answer ──▶ idle ──▶ header ...
       │            │          │         │         └ uvicorn's own keep-alive timeout
       │            │          │         └ send_timeout_s without a byte taken: cut
       │            │          └ slower than min_body_rate over body_window_s: 408; still coming after the answer: cut
       │            └ not whole within header_timeout_s: 408; longer than max_header_nbytes: 431, target: 414
       └ no place left, in all or for this address: 503
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import resource
import struct
import termios
import time
from collections import Counter as Count
from http import HTTPStatus
from typing import Any, ClassVar

import structlog
from prometheus_client import Counter
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from . import metrics
from .http_errors import STATUS
from .settings import MIB, Settings
from .socket_bodies import Lanes, SocketBody

CUT_OFF = Counter(
    "freebits_connections_cut_off",
    "Connections that broke a limit, by the code they were told.",
    ("code",),
    registry=metrics.PROCESS,
)
MAX_TARGET_NBYTES = 16 * 1024
MAX_PIPELINED = 16  # requests sent ahead of their answers on one connection
LINGER_NBYTES, LINGER_S = MIB, 5.0  # of a body that goes on after its answer is dropped, so that the answer arrives
LOOK_EVERY_S = 1.0
FILES_PER_CONNECTION = 2  # its socket, and the object it reads

log = structlog.get_logger()


class _Refused(Exception):
    """Stops the parser; the answer is out already."""


def make_room_for_files(settings: Settings) -> None:
    """Raise this process's limit of open files as far as the settings need and the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_PER_CONNECTION * settings.max_connections + 256
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def guarded_protocol(settings: Settings) -> type[HttpToolsProtocol]:
    """The protocol for a server with these settings; all its connections share one watch."""
    return type("GuardedHttp", (GuardedHttp,), {"watch": ConnectionWatch(settings)})


class ConnectionWatch:
    """All connections of a server; looks at each of them once a second while there are any."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._connections: set[GuardedHttp] = set()
        self._per_address: Count[str] = Count()
        self.lanes = Lanes()
        self._timer: asyncio.TimerHandle | None = None

    def admit(self, connection: GuardedHttp, loop: asyncio.AbstractEventLoop) -> bool:
        """Count a new connection; False when there is no place for it."""
        address, settings = connection.address, self.settings
        self._connections.add(connection)
        self._per_address[address] += 1
        if self._timer is None:
            self._timer = loop.call_later(LOOK_EVERY_S, self._look, loop)
        per_address = settings.max_connections_per_address
        return len(self._connections) <= settings.max_connections and not 0 < per_address < self._per_address[address]

    def forget(self, connection: GuardedHttp) -> None:
        """A connection has ended."""
        self._connections.discard(connection)
        self._per_address[connection.address] -= 1
        if self._per_address[connection.address] <= 0:
            del self._per_address[connection.address]

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        for connection in list(self._connections):
            connection.look(now)
        self._timer = loop.call_later(LOOK_EVERY_S, self._look, loop) if self._connections else None


class GuardedHttp(HttpToolsProtocol):
    """uvicorn's protocol with limits; which ones is told by the `watch` of the subclass made for a server."""

    watch: ClassVar[ConnectionWatch]
    address = ""
    _header_since: float | None = None  # when the header that is not whole yet began
    _header_nbytes = _block_nbytes = 0  # seen of a header that is not whole; of the names and values of a request
    _in_body = False
    _socket_body: SocketBody | None = None
    _window_since = 0.0
    _window_nbytes = 0
    _unsent = (0, 0.0)  # bytes that wait to be taken, and since when that number is the same
    _linger: tuple[int, float] | None = None  # bytes left to drop, and until when

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place, or say that there is none."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        self._header_since = time.monotonic()
        if not self.watch.admit(self, self.loop):
            self._cut_off("TOO_MANY_CONNECTIONS", "the hub has no place for another connection now; try again later")

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self.watch.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and count what is not yet a whole header, or still part of a body."""
        if self.transport.is_closing():
            return
        if self._linger is not None and self._is_too_much(len(data)):
            self.transport.close()
            return
        self._window_nbytes += len(data)
        if self._socket_body is not None:
            data = self._socket_body.received(data)
        super().data_received(data)
        if self._in_body or self.transport.is_closing() or (self.cycle and not self.cycle.response_complete):
            return
        if self._header_since is None:
            self._header_since = time.monotonic()
        self._header_nbytes += len(data)
        if self._header_nbytes > self.watch.settings.max_header_nbytes:
            self._cut_off("HEADER_TOO_LARGE", f"more than {self.watch.settings.max_header_nbytes} bytes of header")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._block_nbytes = 0

    def on_url(self, url: bytes) -> None:
        """Bound the target."""
        super().on_url(url)
        if len(self.url) > MAX_TARGET_NBYTES:
            self._refuse("TARGET_TOO_LONG", f"the request's target is longer than {MAX_TARGET_NBYTES} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Bound what all headers and trailers of a request take together."""
        super().on_header(name, value)
        self._block_nbytes += len(name) + len(value) + 4
        if self._block_nbytes > self.watch.settings.max_header_nbytes:
            self._refuse("HEADER_TOO_LARGE", f"more than {self.watch.settings.max_header_nbytes} bytes of header")

    def on_headers_complete(self) -> None:
        """The header came in time; a body may follow."""
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refuse("TOO_MANY_REQUESTS_AHEAD", f"more than {MAX_PIPELINED} requests ahead of their answers")
        self._header_since, self._header_nbytes = None, 0
        self._in_body = True
        self._window_since, self._window_nbytes = time.monotonic(), 0
        super().on_headers_complete()
        self._socket_body = SocketBody.of(self, self.watch.lanes)

    def on_body(self, body: bytes) -> None:
        """What uvicorn does, without copying what arrived twice where nothing waits before it.

        Where something does, it is extended in place: a body may come in chunks of a byte.
        """
        cycle = self.cycle
        if self._socket_body is not None:
            self._socket_body.parsed(len(body))
        if cycle.response_complete:
            return
        if not cycle.body:
            cycle.body = body  # type: ignore[assignment]
        else:
            if isinstance(cycle.body, bytes):
                cycle.body = bytearray(cycle.body)
            cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """The body is whole; where it came to its end after the answer, the connection goes on."""
        self._in_body, self._linger, self._socket_body = False, None, None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Where the body still comes although the answer is out, take a little more of it and hang up."""
        super().on_response_complete()
        if self._in_body and self.cycle.response_complete and not self.transport.is_closing():
            self._linger = LINGER_NBYTES, time.monotonic() + LINGER_S

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be parsed, unless it was refused for what it is."""
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def look(self, now: float) -> None:
        """Once a second: has any of the limits in time been broken?"""
        settings = self.watch.settings
        if self._is_unread(now):
            CUT_OFF.labels("NOT_READ").inc()
            self.transport.abort()
        elif self._linger is not None and now > self._linger[1]:
            self.transport.close()
        elif self._header_since is not None and now - self._header_since > settings.header_timeout_s:
            if self._header_nbytes == 0:
                self.transport.close()  # opened ahead of need, and not needed: nothing to answer
                return
            self._cut_off("REQUEST_TIMEOUT", f"no whole header within {settings.header_timeout_s:g} s")
        elif self._in_body and self._linger is None and self._is_slow(now):
            self._cut_off("REQUEST_TIMEOUT", f"the body comes slower than {settings.min_body_rate} bytes a second")

    def _is_slow(self, now: float) -> bool:
        """Whether the sender left us waiting; time in which we did not want more does not count."""
        settings = self.watch.settings
        if self.flow.read_paused or self.cycle.waiting_for_100_continue:
            self._window_since, self._window_nbytes = now, 0
        seconds = now - self._window_since
        if seconds < settings.body_window_s:
            return False
        is_slow = self._window_nbytes < settings.min_body_rate * seconds
        self._window_since, self._window_nbytes = now, 0
        return is_slow

    def _is_unread(self, now: float) -> bool:
        """Whether the peer has taken nothing of what waits for it, here and in the kernel, for too long."""
        waiting = self.transport.get_write_buffer_size()
        if waiting:
            waiting += _kernel_nbytes(self.transport)
        if waiting == 0 or waiting != self._unsent[0]:
            self._unsent = waiting, now
        return waiting > 0 and now - self._unsent[1] > self.watch.settings.send_timeout_s

    def _is_too_much(self, nbytes: int) -> bool:
        """Count what comes after the answer; uvicorn drops it."""
        assert self._linger is not None
        left, until = self._linger
        self._linger = left - nbytes, until
        return left < nbytes

    def _refuse(self, code: str, message: str) -> None:
        """From inside the parser: answer, and make it stop."""
        self._cut_off(code, message)
        raise _Refused

    def _cut_off(self, code: str, message: str) -> None:
        """Say why, where no other answer is under way, and hang up."""
        CUT_OFF.labels(code).inc()
        log.debug("connection cut off", code=code, client=self.address)
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()
            return
        body = json.dumps({"code": code, "message": message, "detail": {}, "request_id": ""}).encode()
        status = HTTPStatus(STATUS[code])
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\nconnection: close\r\n"
        self.transport.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        self.transport.close()


def _kernel_nbytes(transport: asyncio.Transport) -> int:
    """Bytes the kernel holds that the peer has not acknowledged; 0 where the kernel does not tell."""
    connection: Any = transport.get_extra_info("socket")
    try:
        answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    except OSError:
        return 0
    return int(struct.unpack("i", answer)[0])
