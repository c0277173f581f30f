"""Damaged containers: a typed error, or the right bytes; never a crash, never wrong data passed as right.

Checksums stand before everything, so damage is also written with checksums made anew, to reach what lies
behind them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
import pytest

from freebits_codecs import BytesSource, ContainerReader, decode, decode_file, encode
from freebits_codecs.container.decoder import inflate
from freebits_codecs.container.frames import parse_payload
from freebits_codecs.container.records import INDEX, ZSTD_FLAG
from freebits_codecs.errors import CodecError, CorruptContainer, DigestMismatch, FormatError, TruncatedContainer
from freebits_codecs.reference import decode_container
from freebits_codecs.testing import Parts, RecordParts

Small = tuple[bytes, bytes]


def read_whole(container: bytes) -> bytes:
    """By random access, chunk by chunk; the digest is not looked at."""
    return b"".join(ContainerReader(BytesSource(container)).iter())


def read_stream(container: bytes) -> bytes:
    """Front to back, as from a pipe."""
    out = io.BytesIO()
    decode_file(io.BytesIO(container), out)
    return out.getvalue()


WAYS = [decode, read_whole, read_stream]


def outcome(read: Callable[[bytes], bytes], container: bytes) -> bytes | CodecError:
    """What reading gives, or the error; every error must say what was found and expected."""
    try:
        return read(container)
    except CodecError as error:
        message = str(error)
        assert any(words in message for words in ("found", "the limit is", "exceeds", "have SHA-256")), message
        assert any(words in message for words in ("expected", "the limit is", "supported", "says")), message
        return error


@pytest.mark.parametrize("read", WAYS)
def test_every_prefix_raises(small: Small, read: Callable[[bytes], bytes]) -> None:
    """A container cut anywhere is a FormatError; cut inside its records, the stream says that it is truncated."""
    _, container = small
    for length in range(len(container)):
        error = outcome(read, container[:length])
        assert isinstance(error, FormatError), length
        if read is read_stream:
            assert isinstance(error, TruncatedContainer), length


def test_every_single_bit_flip_raises(small: Small) -> None:
    """No bit of a container is without a checksum."""
    _, container = small
    damaged = bytearray(container)
    for bit in range(8 * len(container)):
        damaged[bit // 8] ^= 1 << bit % 8
        read = WAYS[bit % 3] if bit % 16 else read_stream
        assert isinstance(outcome(read, bytes(damaged)), CodecError), bit
        damaged[bit // 8] ^= 1 << bit % 8


@pytest.mark.parametrize("read", WAYS)
def test_bytes_after_the_end_raise(small: Small, read: Callable[[bytes], bytes]) -> None:
    """A container is exactly its file; something appended to it is damage, too."""
    _, container = small
    for tail in (b"\0", b"F", container):
        assert isinstance(outcome(read, container + tail), FormatError)


def test_random_bytes_raise() -> None:
    """Noise of any length, bare or after a good header, is no container."""
    rng = np.random.default_rng(3)
    header = encode(b"")[:16]
    for length in range(600):
        for read in WAYS:
            assert isinstance(outcome(read, rng.bytes(length)), FormatError)
            assert isinstance(outcome(read, header + rng.bytes(length)), CodecError)


def damaged_payloads(payload: bytes, rng: np.random.Generator, count: int) -> Iterator[bytes]:
    """Payloads with a flipped bit, a changed byte, a piece cut out, doubled or filled."""
    for _ in range(count):
        at = int(rng.integers(0, min(len(payload), 120) if rng.random() < 0.6 else len(payload)))
        stop = at + int(rng.integers(1, 9))
        piece = (
            bytes((payload[at] ^ 1 << int(rng.integers(0, 8)),)) + payload[at + 1 : stop],
            rng.bytes(1) + payload[at + 1 : stop],
            b"",
            payload[at:stop] * 2,
            bytes((0xFF,)) * (stop - at),
        )[int(rng.integers(0, 5))]
        yield payload[:at] + piece + payload[stop:]


def assert_right_or_refused(container: bytes, original: bytes) -> None:
    """For a container with a digest."""
    for read in (decode, read_stream):
        found = outcome(read, container)
        assert isinstance(found, CodecError) or found == original
    found = outcome(read_whole, container)
    assert isinstance(found, CodecError) or len(found) == len(original)


def test_damaged_payload_under_a_good_checksum(small_with_digest: Small) -> None:
    """What the parsers inside a chunk make of anything: an error, or bytes of the declared length."""
    original, container = small_with_digest
    rng = np.random.default_rng(len(container))
    for number in range(len(Parts.of(container).records)):
        parts = Parts.of(container)
        record = parts.records[number]
        for payload in damaged_payloads(record.payload, rng, 400):
            record.payload = payload
            assert_right_or_refused(parts.container(), original)


def test_every_byte_of_a_payload_replaced_under_a_good_checksum(small_with_digest: Small) -> None:
    """Each byte once as 0, as 255 and off by one."""
    original, container = small_with_digest
    parts = Parts.of(container)
    record, payload = parts.records[0], parts.records[0].payload
    for at in range(min(len(payload), 500)):
        for byte in {0, 255, payload[at] + 1 & 255} - {payload[at]}:
            record.payload = payload[:at] + bytes((byte,)) + payload[at + 1 :]
            found = outcome(decode, parts.container())
            assert isinstance(found, CodecError) or found == original


def test_structure_of_a_damaged_payload(small_with_digest: Small) -> None:
    """Looking at a payload without decoding it takes anything for an answer but another exception."""
    _, container = small_with_digest
    record = Parts.of(container).records[0]
    payload = inflate(record.payload, record.nbytes, 0) if record.flags else record.payload
    parse_payload(payload)
    rng = np.random.default_rng(len(payload))
    for damaged in [payload[:at] for at in range(min(len(payload), 300))] + list(damaged_payloads(payload, rng, 400)):
        with suppress(CorruptContainer):
            parse_payload(damaged)


def relabelled(record: RecordParts) -> Iterator[RecordParts]:
    """The record under another name, flag or length."""
    for kind, flags, nbytes in (
        (INDEX, record.flags, record.nbytes),
        (record.kind, record.flags ^ ZSTD_FLAG, record.nbytes),
        (record.kind, record.flags, record.nbytes - 1),
        (record.kind, record.flags, record.nbytes + 1),
        (record.kind, record.flags | 2, record.nbytes),
        (b"X", record.flags, record.nbytes),
    ):
        yield RecordParts(nbytes, record.payload, flags, kind)


@pytest.mark.parametrize("read", WAYS)
def test_relabelled_records_raise(small_with_digest: Small, read: Callable[[bytes], bytes]) -> None:
    """A record that claims to be another kind, packed otherwise, or of another length."""
    _, container = small_with_digest
    honest = Parts.of(container).records[0]
    for record in relabelled(honest):
        parts = Parts.of(container)
        parts.records[0] = record
        for length in (parts.records[0].nbytes, honest.nbytes):
            footer_nbytes = sum(r.nbytes for r in parts.records) - record.nbytes + length
            assert isinstance(outcome(read, parts.container(nbytes=footer_nbytes)), CodecError)


def _raw_chunks(original: bytes) -> list[RecordParts]:
    return [RecordParts(4096, b"\0\0\x80\x20\0" + original[at : at + 4096]) for at in range(0, len(original), 4096)]


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 0, 2), (2, 1, 0)])
def test_chunks_that_changed_places_raise(order: tuple[int, ...]) -> None:
    """Their records are sound and of equal length, there is no digest, and only some of them are read."""
    records = _raw_chunks(np.random.default_rng(4).bytes(3 * 4096))
    for number, record in enumerate(records):
        record.number = number
    bad = Parts([records[i] for i in order], chunk_nbytes=4096).container()
    for read in (decode, read_stream, decode_container):
        assert isinstance(outcome(read, bad), CorruptContainer)
    reader = ContainerReader(BytesSource(bad))
    for chunk, found in enumerate(order):
        if chunk != found:
            with pytest.raises(CorruptContainer, match="chunk number"):
                reader.read(chunk * 4096, chunk * 4096 + 1)


def test_chunk_numbers_start_again_after_65536() -> None:
    parts = Parts(_raw_chunks(bytes(4096)) * ((1 << 16) + 1), chunk_nbytes=4096)
    assert ContainerReader(BytesSource(parts.container())).read((1 << 16) * 4096, (1 << 28) + 4096) == bytes(4096)
    parts.records[-1] = RecordParts(4096, parts.records[-1].payload, number=1)
    with pytest.raises(CorruptContainer, match="chunk number"):
        ContainerReader(BytesSource(parts.container())).read((1 << 16) * 4096, (1 << 28) + 4096)


def test_swapped_and_repeated_chunks_do_not_pass_the_digest() -> None:
    """Chunks in another order, numbered anew, are only seen by the digest; it sees them."""
    original = np.random.default_rng(4).bytes(3 * 4096)
    records = _raw_chunks(original)
    good = Parts(records, chunk_nbytes=4096)
    assert decode(good.container()) == original
    digest = Parts.of(encode(original, sha256=True)).sha256
    for order in ((1, 0, 2), (0, 0, 2), (2, 1, 0)):
        bad = Parts([records[i] for i in order], sha256=digest, chunk_nbytes=4096).container()
        for read in (decode, read_stream):
            assert isinstance(outcome(read, bad), DigestMismatch)


def test_shuffled_chunks_of_different_lengths_raise(small_with_digest: Small) -> None:
    """Records that do not lie where the index says, or whose lengths do not fit their places."""
    _, container = small_with_digest
    parts = Parts.of(container)
    index = [len(record.payload) for record in parts.records]
    parts.records.reverse()
    if len(parts.records) > 1:
        for read in WAYS:
            assert isinstance(outcome(read, parts.container(stored_nbytes=index)), CodecError)
            assert isinstance(outcome(read, parts.container()), CodecError)


def test_error_names_the_chunk() -> None:
    """The damaged chunk is named, by both ways of reading."""
    data = np.random.default_rng(5).bytes(3 * 4096)
    parts = Parts([RecordParts(4096, b"\0\0\x80\x20\0" + data[at : at + 4096]) for at in (0, 4096, 8192)], None, 4096)
    parts.records[2].payload = b"\0" + b"\xee" + parts.records[2].payload[2:]
    for read in WAYS:
        with pytest.raises(CorruptContainer, match=r"chunk 2: layout code.* found 238") as caught:
            read(parts.container())
        assert caught.value.chunk == 2
