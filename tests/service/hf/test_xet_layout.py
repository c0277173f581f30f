"""Generated xorbs against plain slicing: where everything is, and the bytes of any range."""

from __future__ import annotations

import random
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from freebits_service.downloads.ranges import ByteRange
from freebits_service.xet.frames import frames
from freebits_service.xet.layout import CHUNK_NBYTES, XORB_NBYTES, GeneratedXorb, terms, xorb_of

DATA = random.Random(1).randbytes(3 * CHUNK_NBYTES + 1000)
SIZES = st.sampled_from([1, 5, CHUNK_NBYTES - 1, CHUNK_NBYTES, CHUNK_NBYTES + 1, 3 * CHUNK_NBYTES, len(DATA)])


def whole(data: bytes) -> bytes:
    """The xorb, written as the protocol says."""
    made = b""
    for start in range(0, len(data), CHUNK_NBYTES):
        chunk = data[start : start + CHUNK_NBYTES]
        length = len(chunk).to_bytes(3, "little")
        made += b"\0" + length + b"\0" + length + chunk
    return made


def in_pieces(data: bytes, nbytes: int) -> Iterator[memoryview]:
    """As a reader gives them."""
    for start in range(0, len(data), nbytes):
        yield memoryview(data)[start : start + nbytes]


@given(SIZES, st.data(), st.sampled_from([1000, 65_536, CHUNK_NBYTES, 1 << 20]))
def test_any_range_is_a_slice(nbytes: int, choice: st.DataObject, piece_nbytes: int) -> None:
    """Whatever the pieces are that the data comes in; edges inside of headers are as likely as those of chunks."""
    xorb, expected = GeneratedXorb(0, nbytes), whole(DATA[:nbytes])
    assert xorb.nbytes == len(expected)
    borders = [xorb.chunk_offset(chunk) + by for chunk in range(xorb.chunk_count + 1) for by in range(-1, 10)]
    edge = st.one_of(st.sampled_from([at for at in borders if 0 <= at <= len(expected)]), st.integers(0, len(expected)))
    start, stop = sorted((choice.draw(edge), choice.draw(edge)))
    data = DATA[slice(*xorb.data_range(start, stop))]
    assert b"".join(frames(xorb, ByteRange(start, stop), in_pieces(data, piece_nbytes))) == expected[start:stop]


@given(st.integers(1, 5 * 10**12), st.data())
def test_terms_cover_a_range(nbytes: int, choice: st.DataObject) -> None:
    """They are neighbours, whole chunks, and no chunk more than the range touches."""
    start = choice.draw(st.integers(0, nbytes - 1))
    stop = choice.draw(st.integers(start + 1, min(nbytes, start + 40 * XORB_NBYTES)))
    at = start - start % CHUNK_NBYTES
    for term in terms(nbytes, ByteRange(start, stop)):
        assert term.xorb == xorb_of(nbytes, term.number)
        assert term.xorb.start + term.first * CHUNK_NBYTES == at
        assert 0 < term.nbytes <= XORB_NBYTES
        span = term.byte_range
        assert span.stop - span.start == term.nbytes + 8 * (term.stop - term.first)
        assert term.xorb.data_range(span.start, span.stop) == (at, at + term.nbytes)
        at += term.nbytes
    assert stop <= at < stop + CHUNK_NBYTES
