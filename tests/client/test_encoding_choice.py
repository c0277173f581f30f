"""Raw or encoded: the decision from rates, and the race when the rates are unknown."""

from __future__ import annotations

from freebits.encoding_choice import LinkMeter, Race

MB = 1_000_000


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_unknown_link_decides_nothing() -> None:
    """Before anything was sent there is no rate to decide by."""
    meter = LinkMeter()
    meter.encoded(100 * MB, 0.1)
    assert meter.encoding_wins(0.67) is None


def test_slow_link_encodes() -> None:
    """At 12 MB/s the bytes saved take longer to send than to encode."""
    meter = LinkMeter()
    meter.encoded(1000 * MB, 1.0)
    meter.sent(12 * MB, 1.0)
    assert meter.encoding_wins(0.67) is True


def test_fast_link_sends_raw() -> None:
    """At 1 GB/s, 1 GB/s of encoding saves nothing."""
    meter = LinkMeter()
    meter.encoded(1000 * MB, 1.0)
    meter.sent(1000 * MB, 1.0)
    assert meter.encoding_wins(0.67) is False


def test_incompressible_is_sent_raw_whatever_the_link() -> None:
    """A sample that does not shrink settles it."""
    assert LinkMeter().encoding_wins(1.0) is False


def test_encoder_wins_when_its_container_is_smaller_than_the_rest() -> None:
    """10 of 100 MB sent, container of 67 MB ready: senders are told to stop."""
    race = Race(100 * MB)
    assert race.may_send(10 * MB)
    race.encoded(67 * MB)
    assert race.winner == "encoded"
    assert not race.may_send(MB)
    assert race.sent_nbytes == 10 * MB


def test_raw_wins_when_little_is_left() -> None:
    """60 of 100 MB sent: the container of 67 MB comes too late."""
    race = Race(100 * MB)
    assert race.may_send(60 * MB)
    race.encoded(67 * MB)
    assert race.winner == "raw"
    assert race.may_send(40 * MB)


def test_parts_of_an_earlier_try_count() -> None:
    """50 MB were at the hub before the race began."""
    race = Race(100 * MB, sent_nbytes=50 * MB)
    race.encoded(67 * MB)
    assert race.winner == "raw"


def test_encoder_stops_early_on_a_fast_link() -> None:
    """After 0.3 s half is sent and a tenth encoded: encoding is given up."""
    clock = Clock()
    race = Race(100 * MB, clock=clock)
    race.may_send(50 * MB)
    clock.now = 0.3
    assert not race.encoding(10 * MB, 7 * MB)
    assert race.winner == "raw"


def test_encoder_goes_on_over_a_slow_link() -> None:
    """After 0.3 s 2 MB are sent and half is encoded."""
    clock = Clock()
    race = Race(100 * MB, clock=clock)
    race.may_send(2 * MB)
    clock.now = 0.3
    assert race.encoding(50 * MB, 33 * MB)
    assert race.winner is None


def test_bytes_sent_again_do_not_count_twice() -> None:
    """A part that has to be repeated is taken back."""
    race = Race(100 * MB)
    race.may_send(10 * MB)
    race.may_send(-10 * MB)
    assert race.sent_nbytes == 0
