"""When and how often to try again."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from freebits.errors import FreebitsError, Interrupted, RateLimited, TransportError

T = TypeVar("T")
RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT_S = 60.0
_LONGEST_THROTTLED_S = 900.0  # a hub that answers 429 is well: waiting for it is not a failure


class TryAgain(Exception):
    """One try failed in a way that another may not; `error` is what to raise when all are used up."""

    def __init__(self, error: FreebitsError, after_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error, self.after_s = error, after_s


@dataclass(slots=True)
class Retry:
    """Exponential backoff with full jitter: 0.5 s, 1 s, 2 s, ... at most 8 s, each times 0.5 to 1.

    `stop` ends every wait at once, with Interrupted.
    """

    retries: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 8.0
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, attempt: Callable[[], T]) -> T:
        """The result of `attempt`, tried again while it raises TryAgain."""
        tries = Tries(self)
        while True:
            self.check_stop()
            try:
                return attempt()
            except TryAgain as failed:
                self.stop.wait(tries.wait_s(failed))

    def wait_s(self, number: int, after_s: float | None) -> float:
        """Seconds to wait after failed try `number` (from 0); what the hub asks for counts more."""
        if after_s is not None:
            return min(after_s, _LONGEST_WAIT_S)
        wait_s: float = min(self.first_wait_s * 2**number, self.longest_wait_s)
        return wait_s * random.uniform(0.5, 1)

    def check_stop(self) -> None:
        """Raise Interrupted once the caller wants to stop."""
        if self.stop.is_set():
            raise Interrupted("stopped; run the same command again to resume")


@dataclass(slots=True)
class Tries:
    """The tries of one request, however they are waited for."""

    retry: Retry
    failed: int = 0
    throttled_s: float = 0.0

    def wait_s(self, failure: TryAgain) -> float:
        """Seconds until the next try; raises the error behind `failure` when there is none.

        "Too many requests" does not use up tries, for minutes. Those who were told the same second come at
        different moments.
        """
        if isinstance(failure.error, RateLimited) and failure.after_s is not None:
            wait_s = min(failure.after_s, _LONGEST_WAIT_S) + random.uniform(0, 1)
            self.throttled_s += wait_s
            if self.throttled_s <= _LONGEST_THROTTLED_S and self.retry.retries:
                return wait_s
        elif self.failed < self.retry.retries:
            self.failed += 1
            return self.retry.wait_s(self.failed - 1, failure.after_s)
        raise failure.error from failure.__cause__


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The Retry-After header in seconds; None when absent or a date."""
    value = headers.get("Retry-After") or headers.get("retry-after") or ""
    return float(value) if value.isdecimal() else None


def unreachable(endpoint: str, error: BaseException) -> TransportError:
    """What to say when a connection failed: the cause, and what to do."""
    reason = str(error) or type(error).__name__
    return TransportError(
        f"cannot reach {endpoint} ({reason}); check that the hub runs and that --endpoint "
        "or FREEBITS_ENDPOINT is right, then run the same command again: it resumes"
    )
