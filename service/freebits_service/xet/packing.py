"""Pack chunks while they are sent, where the link is what a reader waits for.

Clients unpack LZ4 in any case, and of floats it takes an eighth off the wire: exponents lie together once bytes are
grouped by their position modulo 4. It takes the hub longer than decoding them did, though. So chunks are packed

- for readers on other machines, and only while one gets less than a fast link carries: others are limited by their own
  work, to which unpacking would add;
- while an answer waits for its reader longer than making what it sends takes: it ends where the hub is the limit;
- as long as all answers together take no more than some share of the machine's cores;
- in the way that was best for a chunk of the same answer a moment ago, and not at all where hardly anything was gained.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lz4.block
import lz4.frame

from freebits_codecs import group4

from ..blobs.store import Buffer
from .chunks import AS_IT_IS, GROUPED_LZ4, LZ4, chunk_header

LEAST_GAIN = 1 / 32  # of a chunk; less is not worth the reader's unpacking
CHUNKS_PER_LOOK = 64  # 8 MiB
FAST_NBYTES_PER_S = 200_000_000  # of files; over 1 Gbit/s come 140 million, packed
RATE_S, BURST_S = 0.5, 0.25
MOST_CLIENTS = 4096
_GROUPS = 4
# A frame of LZ4 is blocks, each packed or as it is. Version 1, blocks independent of each other and of 64 KiB at most,
# no checksums but that of the header, the last byte.
_FRAME_HEADER = bytes.fromhex("04224d18 6040 82")
_IS_AS_IT_IS = 1 << 31
_END_OF_FRAME = bytes(4)


def is_elsewhere(scope: Mapping[str, Any]) -> bool:
    """Whether who asks is on another machine, as far as one can see: there is no link to save bytes on otherwise."""
    client, server = scope.get("client"), scope.get("server")
    return client is not None and server is not None and client[0] != server[0]


class Packing:
    """What the answers of a process share, used from their threads: seconds of a core, and how fast clients read."""

    def __init__(self, percent_of_cores: int) -> None:
        self._cores = (os.cpu_count() or 1) * percent_of_cores / 100
        self._lock = threading.Lock()
        self._left_s = self._cores * BURST_S
        self._at = time.monotonic()
        self._rates: OrderedDict[str, _Rate] = OrderedDict()

    @property
    def is_on(self) -> bool:
        """Whether anything is packed at all."""
        return self._cores > 0

    def is_worth_it(self, client: str) -> bool:
        """Whether what this client is sent now is to be packed."""
        with self._lock:
            now = time.monotonic()
            self._left_s = min(self._left_s + (now - self._at) * self._cores, self._cores * BURST_S)
            self._at = now
            return self._left_s > 0 and self._rate_of(client).per_second(now) < FAST_NBYTES_PER_S

    def note(self, client: str, nbytes: int, packing_s: float) -> None:
        """So many bytes of a file were made for it, and packed in so much time; what is overdrawn is missing later."""
        with self._lock:
            self._rate_of(client).add(nbytes, time.monotonic())
            self._left_s -= packing_s

    def _rate_of(self, client: str) -> _Rate:
        rate = self._rates.setdefault(client, _Rate())
        self._rates.move_to_end(client)
        if len(self._rates) > MOST_CLIENTS:
            self._rates.popitem(last=False)
        return rate


@dataclass(slots=True)
class _Rate:
    """Bytes per second of late: what is older counts less and less."""

    _nbytes: float = 0
    _at: float = 0

    def add(self, nbytes: int, now: float) -> None:
        self._nbytes, self._at = self.per_second(now) * RATE_S + nbytes, now

    def per_second(self, now: float) -> float:
        return self._nbytes * math.exp((self._at - now) / RATE_S) / RATE_S


class Packer:
    """Packs the chunks of one answer; used by one thread at a time, that which makes its pieces.

    A piece is made between `begin` and `end`; after that its reader is waited for.
    """

    def __init__(self, packing: Packing, client: str) -> None:
        self._packing = packing
        self._client = client
        self._way = _Way(AS_IT_IS)
        self._until_look = 0
        self._made_s = self._waited_s = 0.0  # of the last few pieces
        self._at: float | None = None
        self._is_packing = False
        self._piece_nbytes, self._packing_s = 0, 0.0

    def begin(self) -> None:
        """Somebody wants the next piece."""
        self._waited_s += self._lap()
        self._is_packing = self._waited_s >= self._made_s and self._packing.is_worth_it(self._client)

    def end(self) -> None:
        """It is made."""
        self._made_s += self._lap()
        self._made_s, self._waited_s = self._made_s / 2, self._waited_s / 2
        self._packing.note(self._client, self._piece_nbytes, self._packing_s)
        self._piece_nbytes, self._packing_s = 0, 0.0

    def pack(self, chunk: Buffer) -> Sequence[Buffer]:
        """A header and what follows it."""
        begun = time.thread_time()
        way, packed = self._packed(chunk) if self._is_packing else (_Way(AS_IT_IS), chunk)
        self._packing_s += time.thread_time() - begun
        self._piece_nbytes += len(chunk)
        return chunk_header(way.scheme, len(packed), len(chunk)), packed

    def _packed(self, chunk: Buffer) -> tuple[_Way, Buffer]:
        if self._until_look == 0:
            self._way, self._until_look = _best_way(chunk), CHUNKS_PER_LOOK
        self._until_look -= 1
        packed = self._way.pack(chunk)
        # It may be noise, other than the one that was looked at.
        return (self._way, packed) if len(packed) < len(chunk) else (_Way(AS_IT_IS), chunk)

    def _lap(self) -> float:
        now = time.monotonic()
        lap, self._at = 0.0 if self._at is None else now - self._at, now
        return lap


@dataclass(frozen=True, slots=True)
class _Way:
    """A scheme, and of grouped bytes which groups are to be packed: others are noise, not worth a search."""

    scheme: int
    groups: frozenset[int] = frozenset()

    def pack(self, chunk: Buffer) -> Buffer:
        """What comes behind the header."""
        if self.scheme == AS_IT_IS:
            return chunk
        if self.scheme == LZ4:
            packed: bytes = lz4.frame.compress(chunk, store_size=False)
            return packed
        blocks = [
            _block(group, is_packed=number in self.groups) for number, group in enumerate(_groups_of(chunk)) if group
        ]
        return b"".join((_FRAME_HEADER, *(part for block in blocks for part in block), _END_OF_FRAME))


def _best_way(chunk: Buffer) -> _Way:
    gaining = frozenset(
        number
        for number, group in enumerate(_groups_of(chunk))
        if len(lz4.block.compress(group, store_size=False)) < len(group) * (1 - LEAST_GAIN)
    )
    nbytes = {way: len(way.pack(chunk)) for way in (_Way(LZ4), _Way(GROUPED_LZ4, gaining))}
    best = min(nbytes, key=nbytes.__getitem__)
    return best if nbytes[best] < len(chunk) * (1 - LEAST_GAIN) else _Way(AS_IT_IS)


def _groups_of(chunk: Buffer) -> Sequence[memoryview]:
    grouped, rest = memoryview(group4(chunk)), len(chunk) % _GROUPS
    starts = [number * (len(chunk) // _GROUPS) + min(number, rest) for number in range(_GROUPS + 1)]
    return [grouped[starts[number] : starts[number + 1]] for number in range(_GROUPS)]


def _block(group: memoryview, *, is_packed: bool) -> tuple[bytes, Buffer]:
    packed: Buffer = lz4.block.compress(group, store_size=False) if is_packed else group
    if len(packed) < len(group):
        return len(packed).to_bytes(4, "little"), packed
    return (len(group) | _IS_AS_IT_IS).to_bytes(4, "little"), group
