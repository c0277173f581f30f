"""Xorbs that are unpacked while they arrive: as chunks they are the same as those that are kept packed."""

from __future__ import annotations

import random

import pytest
from blake3 import blake3
from xet_client import DATA_KEY, GROUPED_LZ4, LZ4, RAW, VERIFICATION_KEY, MadeXorb

from freebits_service.blobs.memory import MemoryBlobStore
from freebits_service.blobs.store import ObjectReader
from freebits_service.errors import InvalidXet
from freebits_service.xet.arriving import ENTRY, UnpackedPart
from freebits_service.xet.shards import Segment
from freebits_service.xet.xorbs import PackedXorb, UnpackedXorb, Xorb

RANDOM = random.Random(4)
CHUNKS = [RANDOM.randbytes(nbytes) + bytes(nbytes) for nbytes in (1, 65_536, 4, 30_001, 12, 50_000)]
XORB = MadeXorb(CHUNKS, [RAW, LZ4, GROUPED_LZ4, LZ4, RAW])
SHORT = MadeXorb([b"a", b"bcd" * 30, bytes(70)])


def stored(pieces: list[bytes]) -> tuple[ObjectReader, int]:
    """The object that these pieces of a xorb become, and how much of it are chunks."""
    store = MemoryBlobStore()
    store.begin("k")
    with UnpackedPart(store.write_part("k", 0, 0)) as part:
        for piece in pieces:
            part.write([piece])
        part.finish()
    store.finish("k")
    reader = store.open("k")
    assert reader.nbytes == part.nbytes
    assert (part.nbytes - part.data_nbytes) % ENTRY.size == 0
    return reader, part.data_nbytes


def segment(first: int, stop: int) -> Segment:
    hashes = b"".join(blake3(chunk, key=DATA_KEY).digest() for chunk in CHUNKS[first:stop])
    nbytes = sum(map(len, CHUNKS[first:stop]))
    return Segment("a" * 64, first, stop, nbytes, blake3(hashes, key=VERIFICATION_KEY).digest())


def packed() -> PackedXorb:
    store = MemoryBlobStore()
    store.begin("k")
    with store.write_part("k", 0, 0) as part:
        part.write([XORB.data])
        part.finish()
    store.finish("k")
    return PackedXorb(store.open("k"))


@pytest.mark.parametrize(
    ("xorb", "piece_nbytes"),
    [*((SHORT, nbytes) for nbytes in (1, 7, 8, 9, 60)), *((XORB, nbytes) for nbytes in (1000, 70_000, 1 << 20))],
)
def test_however_it_arrives(xorb: MadeXorb, piece_nbytes: int) -> None:
    """In pieces of any length, headers cut anywhere."""
    data = xorb.data
    reader, nbytes = stored([data[at : at + piece_nbytes] for at in range(0, len(data), piece_nbytes)])
    assert reader.read_at(0, nbytes) == b"".join(xorb.chunks)


@pytest.mark.parametrize("make", [lambda: UnpackedXorb("k", *stored([XORB.data])), packed])
def test_both_kinds_give_the_same(make) -> None:
    """Every run of chunks; a wrong hash or length is refused, and so are chunks that are not there."""
    xorb: Xorb = make()
    for first in range(len(CHUNKS)):
        for stop in range(first + 1, len(CHUNKS) + 1):
            found = b"".join(bytes(piece) for piece in xorb.verified(segment(first, stop)))
            assert found == b"".join(CHUNKS[first:stop])
    right = segment(1, 3)
    for wrong in (
        Segment(right.xorb, 1, 3, right.nbytes + 1, right.verification),
        Segment(right.xorb, 1, 3, right.nbytes - 1, right.verification),
        Segment(right.xorb, 0, 2, segment(0, 2).nbytes, right.verification),
        Segment(right.xorb, 5, 7, right.nbytes, right.verification),
    ):
        with pytest.raises(InvalidXet):
            list(xorb.verified(wrong))
    xorb.close()
