"""Token buckets for very many callers in bounded memory.

Each bucket is one number (the generic cell rate algorithm, GCRA). The library ``limits`` was looked at: its memory
store keeps a counter and a timer per address without an upper bound, and an attacker chooses how many addresses
there are.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor

WINDOW_S = 60.0
MAX_KEYS = 100_000


@dataclass(frozen=True, slots=True)
class Standing:
    """How a caller stands with a limit; `retry_after_s` is set when this request is one too many."""

    policy: str
    limit: int
    remaining: int
    reset_s: int
    retry_after_s: int | None = None

    def headers(self) -> dict[str, str]:
        """The header fields of the IETF draft "RateLimit header fields for HTTP"."""
        return {
            "RateLimit-Policy": f'"{self.policy}";q={self.limit};w={WINDOW_S:.0f}',
            "RateLimit": f'"{self.policy}";r={self.remaining};t={self.reset_s}',
        }


class Buckets:
    """One bucket of `limit` requests per minute for each key; thread-safe.

    The `max_keys` callers seen last are remembered; a forgotten one begins with a full bucket.
    """

    def __init__(
        self, policy: str, limit: int, *, max_keys: int = MAX_KEYS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._policy, self._limit, self._max_keys, self._clock = policy, limit, max_keys, clock
        self._full_at: OrderedDict[str, float] = OrderedDict()  # when a bucket will be full again
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: str) -> Standing | None:
        """Use one request of the caller's bucket, if there is one; None without a limit."""
        return self._ask(key, taking=True)

    def look(self, key: str) -> Standing | None:
        """Whether there is one, without using it."""
        return self._ask(key, taking=False)

    def _ask(self, key: str, *, taking: bool) -> Standing | None:
        if not self._limit:
            return None
        cost_s = WINDOW_S / self._limit
        with self._lock:
            now = self._clock()
            full_at = max(self._full_at.get(key, now), now)
            missing_s = full_at + cost_s - (now + WINDOW_S)
            allowed = missing_s <= 1e-9
            if taking and allowed:
                full_at += cost_s
                self._remember(key, full_at)
        left = floor((WINDOW_S - (full_at - now)) / cost_s + 1e-6)
        retry_after_s = None if allowed else max(1, ceil(missing_s))
        return Standing(self._policy, self._limit, max(0, left), ceil(full_at - now), retry_after_s)

    def _remember(self, key: str, full_at: float) -> None:
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        if len(self._full_at) > self._max_keys:
            self._full_at.popitem(last=False)
