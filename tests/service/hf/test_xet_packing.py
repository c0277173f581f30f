"""Chunks packed on their way: what comes out is what went in, and what is packed, when and for whom."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xet_client import GROUPED_LZ4, LZ4, RAW, unpacked_chunks

from freebits_service.xet import packing
from freebits_service.xet.frames import packed_frames
from freebits_service.xet.layout import CHUNK_NBYTES, GeneratedXorb
from freebits_service.xet.packing import Packer, Packing, is_elsewhere

NOISE = random.Random(1).randbytes(4 * CHUNK_NBYTES + 1000)
FEW = NOISE.translate(bytes((byte & -byte).bit_length() for byte in range(256)))  # two bits each, as exponents
FLOATS = b"".join(bytes(pair) for pair in zip(NOISE, FEW, strict=True))  # every second byte says little
KINDS = {"noise": (NOISE, RAW), "floats": (FLOATS, GROUPED_LZ4), "text": (b"model card " * 60_000, LZ4)}


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        """As that of `time`."""
        return self.now

    def thread_time(self) -> float:
        """The same: nobody else runs."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of packing."""
    made = Clock()
    monkeypatch.setattr(packing, "time", made)
    monkeypatch.setattr(packing.os, "cpu_count", lambda: 4)
    return made


def schemes_of(data: bytes, packer: Packer) -> set[int]:
    """Those of a piece of some chunks."""
    schemes = set()
    packer.begin()
    for start in range(0, len(data), CHUNK_NBYTES):
        schemes.add(packer.pack(data[start : start + CHUNK_NBYTES])[0][4])
    packer.end()
    return schemes


def in_pieces(data: bytes, nbytes: int) -> Iterator[memoryview]:
    """As a reader gives them."""
    for start in range(0, len(data), nbytes):
        yield memoryview(data)[start : start + nbytes]


@given(
    st.sampled_from(sorted(KINDS)),
    st.sampled_from([1, 2, 3, 5, 40, CHUNK_NBYTES - 1, CHUNK_NBYTES, CHUNK_NBYTES + 1, 4 * CHUNK_NBYTES + 7]),
    st.sampled_from([1000, 65_536, CHUNK_NBYTES, 1 << 20]),
    st.data(),
)
def test_what_comes_out(kind: str, nbytes: int, piece_nbytes: int, choice: st.DataObject) -> None:
    """The chunks that went in, whatever they hold and the pieces are that they come in."""
    data = KINDS[kind][0][:nbytes]
    xorb = GeneratedXorb(0, len(data))
    first = choice.draw(st.integers(0, xorb.chunk_count - 1))
    stop = choice.draw(st.integers(first + 1, xorb.chunk_count))
    wanted = data[first * CHUNK_NBYTES : stop * CHUNK_NBYTES]
    packer = Packer(Packing(100), "client")
    sent = b"".join(packed_frames(xorb, first, stop, in_pieces(wanted, piece_nbytes), packer))
    assert unpacked_chunks(sent) == [wanted[at : at + CHUNK_NBYTES] for at in range(0, len(wanted), CHUNK_NBYTES)]


def test_each_in_its_way(clock: Clock) -> None:
    """Noise as it is, floats grouped and only the groups that gain, all else as LZ4 finds it."""
    for data, scheme in KINDS.values():
        assert schemes_of(data[: 4 * CHUNK_NBYTES], Packer(Packing(100), "client")) == {scheme}
    sent = b"".join(Packer(Packing(100), "c").pack(NOISE[:CHUNK_NBYTES]))
    assert len(sent) == CHUNK_NBYTES + 8
    packer = Packer(Packing(100), "client")
    packer.begin()
    floats = b"".join(packer.pack(FLOATS[:CHUNK_NBYTES]))
    assert len(floats) < CHUNK_NBYTES * 0.85
    assert len(b"".join(packer.pack(NOISE[:CHUNK_NBYTES]))) == CHUNK_NBYTES + 8, "noise among floats grows"


def test_what_changes_is_looked_at_again(clock: Clock) -> None:
    """A file of tensors of several kinds: after some MiB another way is found."""
    packer = Packer(Packing(100), "client")
    for _ in range(packing.CHUNKS_PER_LOOK // 2):
        assert schemes_of(NOISE[:CHUNK_NBYTES], packer) == {RAW}
    for _ in range(packing.CHUNKS_PER_LOOK // 2):
        assert schemes_of(FLOATS[:CHUNK_NBYTES], packer) == {RAW}
    assert schemes_of(FLOATS[:CHUNK_NBYTES], packer) == {GROUPED_LZ4}


def test_only_while_the_reader_is_waited_for(clock: Clock) -> None:
    """A hub that does not come up with what is read packs nothing, until it has to wait again."""
    packer, data = Packer(Packing(100), "client"), FLOATS[:CHUNK_NBYTES]

    def piece(made_s: float, waited_s: float) -> set[int]:
        packer.begin()
        scheme = packer.pack(data)[0][4]
        clock.now += made_s
        packer.end()
        clock.now += waited_s
        return {scheme}

    assert piece(0.01, 0.001) == {GROUPED_LZ4}  # who has not waited yet is waited for
    assert piece(0.01, 0.001) == {RAW}
    assert piece(0.01, 0.1) == {RAW}
    assert piece(0.01, 0.1) == {GROUPED_LZ4}
    assert piece(0.01, 0) == {GROUPED_LZ4}
    assert piece(0.01, 0) == {GROUPED_LZ4}, "two pieces at a time are made"


def test_no_more_of_the_cores_than_is_set(clock: Clock) -> None:
    """All answers together: a quarter of 4 cores is a second of each; what was overdrawn is missing afterwards."""
    shared = Packing(25)
    assert shared.is_worth_it("a")
    shared.note("b", 1000, 0.5)
    assert not shared.is_worth_it("a")
    clock.now += 0.2
    assert not shared.is_worth_it("a")
    clock.now += 0.1
    assert shared.is_worth_it("a")
    shared.note("b", 1000, 0.1)
    clock.now += 1000
    shared.note("b", 1000, 0.3)
    assert shared.is_worth_it("a"), "what was saved up before"
    assert not Packing(0).is_on
    assert not Packing(0).is_worth_it("a")


def test_not_for_fast_clients(clock: Clock) -> None:
    """Those who get more than a link of 1 Gbit/s carries; others beside them are packed for, and they later."""
    shared = Packing(100)
    for _ in range(50):
        shared.note("fast", 10_000_000, 0)
        shared.note("slow", 2_000_000, 0)
        clock.now += 0.02
    assert not shared.is_worth_it("fast")
    assert shared.is_worth_it("slow")
    clock.now += 2
    assert shared.is_worth_it("fast")


def test_clients_are_forgotten(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be any number of addresses."""
    monkeypatch.setattr(packing, "MOST_CLIENTS", 3)
    shared = Packing(100)
    shared.note("fast", 1 << 30, 0)
    for number in range(3):
        assert not shared.is_worth_it("fast")
        shared.note(f"client {number}", 1, 0)
    for number in range(3):
        shared.note(f"client {number}", 1, 0)
    assert shared.is_worth_it("fast")


@pytest.mark.parametrize(
    ("client", "server", "expected"),
    [
        (("10.0.0.2", 50_000), ("10.0.0.1", 8000), True),
        (("10.0.0.1", 50_000), ("10.0.0.1", 8000), False),
        (("127.0.0.1", 50_000), ("127.0.0.1", 8000), False),
        (("::1", 50_000, 0, 0), ("::1", 8000), False),
        (None, ("/run/hub.sock", None), False),
        (("10.0.0.2", 50_000), None, False),
    ],
)
def test_who_is_elsewhere(client: object, server: object, expected: bool) -> None:
    """Who comes from another address than the one that was asked, as far as that is known."""
    assert is_elsewhere({"client": client, "server": server}) is expected
