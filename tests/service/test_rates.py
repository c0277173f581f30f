"""Who asks too often is told so, in the standard's words, and nobody else notices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from freebits_service.context import Hub
from freebits_service.rates.buckets import WINDOW_S, Buckets
from freebits_service.rates.limits import network_of


class Clock:
    """A clock that goes when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def test_a_bucket_fills_again() -> None:
    """The whole minute's requests may come at once; then one more as soon as its share of the minute has passed."""
    clock = Clock()
    buckets = Buckets("user", 6, clock=clock)
    assert [buckets.take("a").remaining for _ in range(6)] == [5, 4, 3, 2, 1, 0]
    refused = buckets.take("a")
    assert (refused.retry_after_s, refused.remaining, refused.reset_s) == (10, 0, 60)
    assert buckets.take("b").retry_after_s is None
    clock.now += 9.5
    assert buckets.take("a").retry_after_s == 1
    clock.now += 0.5
    assert buckets.look("a").retry_after_s is None
    assert buckets.take("a").retry_after_s is None
    clock.now += WINDOW_S
    assert buckets.take("a").remaining == 5


def test_memory_is_bounded() -> None:
    """A million addresses take as much room as the bound, and those seen last are remembered."""
    buckets = Buckets("address", 1, max_keys=100)
    for number in range(1_000_000 // 50):
        assert buckets.take(str(number)).retry_after_s is None
    assert len(buckets) == 100
    assert buckets.take(str(1_000_000 // 50 - 1)).retry_after_s


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
    ],
)
def test_what_counts_as_one_stranger(address: str, network: str) -> None:
    """One IPv6 host can use 2^64 addresses; they are one."""
    assert network_of(address) == network


def _allow(limits: dict[str, int], make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any]) -> Any:
    return make_client(make_hub(**limits))


def test_strangers_are_limited_by_address(make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any]) -> None:
    """With the headers of the draft standard, Retry-After on 429, and probes and users untouched."""
    client = _allow({"address_requests_per_minute": 3}, make_hub, make_client)
    stranger = client.as_user(None)
    for left in (2, 1, 0):
        reply = stranger.get("/repos")
        assert reply.status_code == 200
        assert reply.headers["RateLimit-Policy"] == '"address";q=3;w=60'
        assert reply.headers["RateLimit"].startswith(f'"address";r={left};t=')
    refused = stranger.get("/repos")
    assert (refused.status_code, refused.json()["code"]) == (429, "RATE_LIMITED")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["RateLimit"].startswith('"address";r=0;')
    assert refused.headers["X-Request-Id"]
    assert client.http.get("/healthz").status_code == 200
    assert client.get("/repos").status_code == 200


def test_users_are_limited_together_whatever_the_token(
    make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any]
) -> None:
    """Another token of the same user has the same bucket; another user has another."""
    client = _allow({"user_requests_per_minute": 4}, make_hub, make_client)
    second = client.as_user(client.post("/users/admin/tokens", json={}).json()["token"])
    ann = client.new_user("ann")
    assert [client.get("/whoami").status_code, second.get("/whoami").status_code] == [200, 200]
    assert [client.get("/whoami").status_code, second.get("/whoami").status_code] == [429, 429]
    assert ann.get("/whoami").headers["RateLimit"].startswith('"user";r=3;')


def test_guessing_tokens_is_stopped_and_others_are_not(
    make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any]
) -> None:
    """After too many wrong tokens not even a right one gets in, but those that were in before stay in."""
    client = _allow({"failed_logins_per_minute": 3}, make_hub, make_client)
    ann = client.new_user("ann")
    assert [client.as_user(f"guess-{n}").get("/whoami").status_code for n in range(5)] == [401, 401, 401, 429, 429]
    assert ann.get("/whoami").status_code == 429
    assert ann.get("/whoami").status_code == 429
    assert client.get("/whoami").status_code == 200
    assert client.as_user(None).get("/repos").status_code == 200
