"""(5) A rANS plane: one array operation for the 64 lanes of a group, otherwise as the text says it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freebits_codecs.errors import CorruptContainer
from freebits_codecs.reference.cursor import Cursor, Notice

LANES = 64
TILE = 4096
STATE_FLOOR = 256
MAX_MODELS = 64
MAX_ENTRIES = 64


@dataclass(frozen=True)
class _Model:
    """(5.3) By slot: the entry's value, frequency and start, and whether it is the escape."""

    value: NDArray[np.uint8]
    freq: NDArray[np.uint32]
    start: NDArray[np.uint32]
    escaped: NDArray[np.bool_]
    has_escape: bool


class _Stream:
    """64 lane states and the bytes they take."""

    def __init__(self, states: bytes, data: bytes) -> None:
        self.x = np.frombuffer(states, "<u2").astype(np.uint32)
        self._data, self._at = np.frombuffer(data, np.uint8), 0

    def decode_group(self, model: _Model) -> NDArray[np.uint32]:
        """(5.5) The slots of the next 64 symbols."""
        slot = self.x % 256
        self.x = model.freq[slot] * (self.x // 256) + slot - model.start[slot]
        hungry = np.flatnonzero(self.x < STATE_FLOOR)
        taken = self._data[self._at : self._at + len(hungry)]
        if len(taken) < len(hungry):
            raise CorruptContainer("rANS stream", found="its end", expected=f"{len(hungry)} bytes")
        self._at += len(hungry)
        self.x[hungry] = 256 * self.x[hungry] + taken
        return slot

    def expect_end(self) -> None:
        """(5.6)"""
        if self._at != len(self._data) or (self.x != STATE_FLOOR).any():
            raise CorruptContainer("rANS stream end", found="bytes or states left over", expected="none")


def decode_plane(
    payload: bytes, numel: int, notice: Notice, decode_escapes: Callable[[Cursor, int], bytes]
) -> NDArray[np.uint8]:
    """(5.1) The `numel` bytes of a plane. `decode_escapes` decodes a frame of so many bytes."""
    cursor = Cursor(payload)
    log2_streams = cursor.u8()
    if log2_streams > 2:
        raise CorruptContainer("log2 of the stream count", found=log2_streams, expected="at most 2")
    tile_models = _read_segments(cursor, -(-numel // TILE), notice)
    values = _read_escapes(cursor, numel, tile_models, decode_escapes)
    streams = _read_streams(cursor, 1 << log2_streams)
    cursor.expect_end("rANS plane")
    notice("streams", len(streams))
    notice("escapes", len(values) > 0)
    plane, escaped = _decode_groups(streams, tile_models, numel)
    if np.count_nonzero(escaped) != len(values):
        raise CorruptContainer("escape values", found=len(values), expected=np.count_nonzero(escaped))
    plane[escaped] = values
    for stream in streams:
        stream.expect_end()
    return plane


def _read_segments(cursor: Cursor, tiles: int, notice: Notice) -> list[_Model]:
    """(5.2) The model of every tile."""
    count = cursor.varint()
    if not 1 <= count <= tiles:
        raise CorruptContainer("segments", found=count, expected=f"1..{tiles}")
    models: list[_Model] = []
    tile_models: list[_Model] = []
    for _ in range(count):
        length, number = cursor.varint(), cursor.u8()
        if not 1 <= length <= tiles - len(tile_models):
            raise CorruptContainer("tiles of a segment", found=length, expected=f"1..{tiles - len(tile_models)}")
        if number > len(models) or number >= MAX_MODELS:
            raise CorruptContainer("model number", found=number, expected=f"at most {len(models)}")
        if number == len(models):
            models.append(_read_model(cursor))
        tile_models += [models[number]] * length
    if len(tile_models) != tiles:
        raise CorruptContainer("tiles of the segments", found=len(tile_models), expected=tiles)
    notice("models", len(models))
    return tile_models


def _read_model(cursor: Cursor) -> _Model:
    """(5.3)"""
    has_escape, first, last = cursor.u8(), cursor.u8(), cursor.u8()
    if has_escape > 1 or last < first:
        raise CorruptContainer("model", found=(has_escape, first, last), expected="0 or 1, then ascending values")
    bitmap = np.frombuffer(cursor.take((last - first) // 8 + 1), np.uint8)
    values = np.flatnonzero(np.unpackbits(bitmap, bitorder="little")) + first
    entries = len(values) + has_escape
    if entries > MAX_ENTRIES or (values > last).any():
        raise CorruptContainer("model entries", found=entries, expected=f"at most {MAX_ENTRIES}, none above {last}")
    freq = np.frombuffer(cursor.take(entries), np.uint8).astype(np.uint32)
    if not freq.all() or freq.sum() != 256:
        raise CorruptContainer("frequencies", found=freq.tolist(), expected="1 or more, 256 in all")
    start = np.cumsum(freq, dtype=np.uint32) - freq
    entry_values = np.concatenate((values, np.zeros(has_escape))).astype(np.uint8)
    of_slot = np.repeat(np.arange(entries), freq)
    is_escape = np.arange(entries) >= len(values)
    return _Model(entry_values[of_slot], freq[of_slot], start[of_slot], is_escape[of_slot], bool(has_escape))


def _read_escapes(
    cursor: Cursor, numel: int, models: list[_Model], decode_escapes: Callable[[Cursor, int], bytes]
) -> NDArray[np.uint8]:
    """(5.4) The values of all escaped elements."""
    count = cursor.varint() if any(model.has_escape for model in models) else 0
    if count > numel:
        raise CorruptContainer("escape values", found=count, expected=f"at most {numel}")
    return np.frombuffer(decode_escapes(cursor, count) if count else b"", np.uint8)


def _read_streams(cursor: Cursor, count: int) -> list[_Stream]:
    lengths = [cursor.varint() for _ in range(count)]
    states = [cursor.take(2 * LANES) for _ in range(count)]
    return [_Stream(state, cursor.take(length)) for state, length in zip(states, lengths, strict=True)]


def _decode_groups(
    streams: list[_Stream], tile_models: list[_Model], numel: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """(5.5) The plane, and which of its elements are escapes; the padding is cut off."""
    plane, escaped = [], []
    for group in range(-(-numel // LANES)):
        model = tile_models[group * LANES // TILE]
        slot = streams[group % len(streams)].decode_group(model)
        plane.append(model.value[slot])
        escaped.append(model.escaped[slot])
    return np.concatenate(plane)[:numel], np.concatenate(escaped)[:numel]
