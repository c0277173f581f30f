"""How often, how long, and when to stop."""

from __future__ import annotations

import pytest

from freebits.errors import Interrupted, RateLimited, TransportError
from freebits.retry import Retry, Tries, TryAgain, retry_after_s


def failing(times: int, tries: list[int]) -> str:
    """Fail `times` times, then succeed."""
    tries.append(1)
    if len(tries) <= times:
        raise TryAgain(TransportError("broken"), after_s=0)
    return "done"


def test_success_after_failures() -> None:
    """The result of the first try that works."""
    tries: list[int] = []
    assert Retry(3).run(lambda: failing(3, tries)) == "done"
    assert len(tries) == 4


def test_the_last_error_is_raised() -> None:
    """After all tries are used up."""
    tries: list[int] = []
    with pytest.raises(TransportError, match="broken"):
        Retry(2).run(lambda: failing(9, tries))
    assert len(tries) == 3


def test_waits_grow_and_are_bounded() -> None:
    """Jitter keeps between half and the whole."""
    retry = Retry()
    for number, longest in enumerate([0.5, 1, 2, 4, 8, 8, 8]):
        assert longest / 2 <= retry.wait_s(number, None) <= longest


def test_retry_after_counts_more() -> None:
    """What the hub asks for is honoured, up to a minute."""
    assert Retry().wait_s(0, 7.0) == 7.0
    assert Retry().wait_s(0, 9999.0) == 60.0
    assert retry_after_s({"Retry-After": "7"}) == 7.0
    assert retry_after_s({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}) is None


def test_being_throttled_is_not_a_failure() -> None:
    """429 with Retry-After is waited for beyond the number of tries, a little longer than asked, not for ever."""
    tries, throttled = Tries(Retry(1)), TryAgain(RateLimited("slow down"), 9.0)
    assert all(9 <= tries.wait_s(throttled) <= 10 for _ in range(80))
    tries.throttled_s = 900
    with pytest.raises(RateLimited):
        tries.wait_s(throttled)
    with pytest.raises(RateLimited):
        Tries(Retry(0)).wait_s(throttled)


def test_stop_ends_the_tries() -> None:
    """A stop during a wait does not wait for its end."""
    retry = Retry(5, first_wait_s=60)

    def attempt() -> None:
        retry.stop.set()
        raise TryAgain(TransportError("broken"))

    with pytest.raises(Interrupted):
        retry.run(attempt)
