"""The three limits of a hub process: users, strangers by address, failed logins by address.

They are per process: with N replicas behind a balancer a caller gets up to N times as much. That needs no shared
store, and no request waits for one.
"""

from __future__ import annotations

import hashlib
import ipaddress
import threading
from collections import OrderedDict

from ..errors import RateLimited
from ..settings import Settings
from .buckets import Buckets, Standing

MAX_PROVEN = 10_000


class RateLimits:
    """Who has how many requests left."""

    def __init__(self, settings: Settings) -> None:
        self.users = Buckets("user", settings.user_requests_per_minute)
        self.strangers = Buckets("address", settings.address_requests_per_minute)
        self._failures = Buckets("failed-logins", settings.failed_logins_per_minute)
        self._proven: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def check_login(self, address: str, authorization: str) -> Standing | None:
        """Where an address stands that shows a token: refused after too many wrong ones.

        A token that was right when it came from this address before is let pass: who shares an address with
        somebody that guesses is not locked out. A guess cannot be one of those without having been right.
        """
        standing = self._failures.look(network_of(address))
        if standing is None or standing.retry_after_s is None or _proof(address, authorization) in self._proven:
            return None
        return standing

    def note_failure(self, address: str) -> None:
        """A login failed."""
        self._failures.take(network_of(address))

    def note_success(self, address: str, authorization: str) -> None:
        """A token was right."""
        proof = _proof(address, authorization)
        with self._lock:
            self._proven[proof] = None
            self._proven.move_to_end(proof)
            if len(self._proven) > MAX_PROVEN:
                self._proven.popitem(last=False)


def require_within(standing: Standing | None) -> None:
    """Raises RateLimited for one request too many."""
    if standing is not None and standing.retry_after_s is not None:
        raise RateLimited(standing.policy, standing.limit, standing.retry_after_s)


def network_of(address: str) -> str:
    """What counts as one stranger: an IPv4 address, or the /64 that one IPv6 host can choose addresses from."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def _proof(address: str, authorization: str) -> bytes:
    return hashlib.sha256(f"{address}\0{authorization}".encode()).digest()
