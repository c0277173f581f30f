"""Decide whether encoding a file before sending it saves time. Pure: numbers in, decision out.

Sending N bytes raw takes N / link. Encoding first takes N / encode_rate + ratio * N / link. Encoding wins
when link < (1 - ratio) * encode_rate. Until the link's rate is known, the first large file runs a race: raw
parts are sent while the file is encoded, and whoever would be done later stops. A slow link loses the few
parts it had sent, a fast one the encoding done so far; both are work that would otherwise have been waiting.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

WORTH_ENCODING_NBYTES = 1 << 20
"""Below this an extra round trip costs more than the bytes saved."""

WORTH_ENCODING_RATIO = 0.97
"""stored / original at which encoding on the client is not worth its session."""

_RACE_JUDGED_AFTER_S = 0.2
_LINK_KNOWN_AFTER_NBYTES = 1 << 20


class LinkMeter:
    """Rates seen so far in this process, in bytes per second. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent_nbytes, self._sent_s = 0, 0.0
        self._encoded_nbytes, self._encoded_s = 0, 0.0

    def sent(self, nbytes: int, seconds: float) -> None:
        """`nbytes` bytes crossed the link in `seconds`, everything in flight counted."""
        with self._lock:
            self._sent_nbytes, self._sent_s = self._sent_nbytes + nbytes, self._sent_s + seconds

    def encoded(self, nbytes: int, seconds: float) -> None:
        """`nbytes` original bytes were encoded in `seconds`."""
        with self._lock:
            self._encoded_nbytes, self._encoded_s = self._encoded_nbytes + nbytes, self._encoded_s + seconds

    def encoding_wins(self, ratio: float) -> bool | None:
        """True or False when the rates are known, None before that."""
        if ratio > WORTH_ENCODING_RATIO:
            return False
        if self._sent_nbytes < _LINK_KNOWN_AFTER_NBYTES or self._encoded_nbytes == 0:
            return None
        link = self._sent_nbytes / max(self._sent_s, 1e-9)
        encode_rate = self._encoded_nbytes / max(self._encoded_s, 1e-9)
        return link < (1 - ratio) * encode_rate


class Race:
    """Raw parts on the wire against the encoder, for one file of `nbytes` bytes. Thread-safe.

    `winner` is "raw" or "encoded" once decided. Senders ask `may_send` before each piece; the encoder reports
    `encoding` now and then and `encoded` at the end; both are told to stop by the answer.
    """

    def __init__(self, nbytes: int, sent_nbytes: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.nbytes = nbytes
        self.winner: str | None = None
        self._sent_before = sent_nbytes
        self._sent = 0
        self._clock, self._start = clock, clock()
        self._lock = threading.Lock()

    @property
    def sent_nbytes(self) -> int:
        """Bytes handed to the wire during this race."""
        return self._sent

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    def may_send(self, nbytes: int) -> bool:
        """Count `nbytes` as sent, unless encoding has won."""
        with self._lock:
            if self.winner != "encoded":
                self._sent += nbytes
                if self._sent_before + self._sent >= self.nbytes:
                    self.winner = "raw"
            return self.winner != "encoded"

    def encoding(self, done_nbytes: int, stored_nbytes: int) -> bool:
        """The encoder's report; False tells it that raw will be done first."""
        with self._lock:
            seconds = self.elapsed_s
            if self.winner is None and done_nbytes and self._sent and seconds > _RACE_JUDGED_AFTER_S:
                encode_left_s = seconds * (self.nbytes - done_nbytes) / done_nbytes
                link = self._sent / seconds
                encoded_s = encode_left_s + self.nbytes * stored_nbytes / done_nbytes / link
                if self._raw_left() / link < encoded_s:
                    self.winner = "raw"
            return self.winner != "raw"

    def encoded(self, stored_nbytes: int) -> None:
        """The container is ready: it wins when it is smaller than what raw still has to send."""
        with self._lock:
            if self.winner is None:
                self.winner = "encoded" if stored_nbytes < self._raw_left() else "raw"

    def encoder_failed(self) -> None:
        """No container will come; raw wins."""
        with self._lock:
            self.winner = "raw"

    def _raw_left(self) -> int:
        return self.nbytes - self._sent_before - self._sent
