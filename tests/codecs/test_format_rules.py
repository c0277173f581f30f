"""Every rule of FORMAT.md on bytes that no encoder writes: the fast decoder and the reference refuse or read alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zstandard
from google_crc32c import value as independent_crc32c

from freebits_codecs import _core, decode
from freebits_codecs.container.records import ZSTD_FLAG
from freebits_codecs.errors import (
    CodecError,
    CorruptContainer,
    DigestMismatch,
    LimitExceeded,
    UnsupportedFormat,
)
from freebits_codecs.reference import decode_container
from freebits_codecs.testing import Parts, RecordParts

GOLDEN = Path(__file__).parents[1] / "golden" / "v1"
FOUR_VALUES = (GOLDEN / "example-four-values.fb").read_bytes()
HEADER, FOOTER = slice(0, 16), slice(62, 130)
REFUSED = "refused"


def outcome(decoder, container: bytes) -> bytes | str:
    """What a decoder gives; how it refuses does not count."""
    try:
        return decoder(container)
    except CodecError:
        return REFUSED


def both(payload: bytes, nbytes: int, flags: int = 0) -> bytes | str:
    """What both decoders make of a payload; they must agree, with every instruction set."""
    container = Parts([RecordParts(nbytes, payload, flags)]).container()
    found = outcome(decode, container)
    assert outcome(decode_container, container) == found
    if not flags and len(payload) <= nbytes + 64:
        assert all(native_outcome(payload, nbytes, isa) == found for isa in _core.available_isas())
    return found


def native_outcome(payload: bytes, nbytes: int, isa: str) -> bytes | str:
    """What the native core makes of a payload with one instruction set."""
    out = bytearray(nbytes)
    return REFUSED if _core.decode_payload(payload, out, isa) else bytes(out)


def cases(**values):
    """Parameters whose ids are their names."""
    return [pytest.param(*(value if isinstance(value, tuple) else (value,)), id=name) for name, value in values.items()]


@pytest.mark.parametrize("name", ["runs", "escapes", "layout-f8_e4m3", "special-f64", "example-rans", "chunk-log2-24"])
def test_damaged_payloads(name):
    """Bytes changed under a valid checksum are refused by both decoders, or read alike by both."""
    record = Parts.of((GOLDEN / f"{name}.fb").read_bytes()).records[0]
    payload = record.payload
    if record.flags:
        payload = zstandard.ZstdDecompressor().decompress(payload)
    rng = np.random.default_rng(2)
    refused = 0
    for _ in range(150):
        damaged = bytearray(payload)
        reach = min(len(payload), int(rng.choice([12, 60, len(payload)])))
        for at in rng.integers(0, reach, rng.integers(1, 4)):
            damaged[at] = rng.choice([0, 1, 2, 0x7F, 0x80, 0xFF, rng.integers(256)])
        refused += both(bytes(damaged), record.nbytes) == REFUSED
    assert refused


RAW = b"\x00\x04\x00wxyz"
"""A frame of four raw bytes."""


@pytest.mark.parametrize(
    "payload",
    cases(
        plain=b"\x00" + RAW,
        long_run_count=b"\x80\x00" + RAW,
        long_numel=b"\x00\x00\x84\x80\x80\x80\x00\x00wxyz",
        an_empty_run_besides=b"\x02\x00\x04\xfe\x00" + RAW,
        an_empty_run_between=b"\x03\x00\x01\xff\x00\x00\x03" + RAW,
        runs_of_two_frames=b"\x03\x01\x01\x00\x02\x01\x01" + b"\x00\x02\x00xy\x00\x02\x00wz",
        frames_of_one_layout=b"\x00" + b"\x00\x01\x01w\x00\x03\x00xyz",
        frames_of_two_layouts=b"\x00" + b"\x00\x02\x00wx\x07\x01\x00\x01zy",
        bits_that_have_no_place=b"\x00" + b"\x00\x03\x00wxy\x05\x01\x00\x00\xfe\xf4",
    ),
)
def test_payloads_that_are_read(payload):
    """Runs and frames that no encoder writes but the format allows (7.2) mean the same to both."""
    assert both(payload, 4) == b"wxyz"


@pytest.mark.parametrize(
    "payload",
    cases(
        nothing=b"",
        no_frame=b"\x00",
        a_byte_more=b"\x00" + RAW + b"\x00",
        a_byte_less=b"\x00" + RAW[:-1],
        a_frame_too_long=b"\x00\x00\x05\x00vwxyz",
        varint_of_six_bytes=b"\x00\x00\x84\x80\x80\x80\x80\x00\x00wxyz",
        varint_of_33_bits=b"\x00\x00\x84\x80\x80\x80\x10\x00wxyz",
        frame_of_nothing=b"\x00\x00\x00\x00" + RAW,
        layout_10=b"\x00\x0a\x04\x00wxyz",
        codec_3=b"\x00\x00\x04\x03wxyz",
        constant_without_byte=b"\x00\x00\x04\x01",
        runs_too_short=b"\x01\x00\x03" + RAW,
        runs_too_long=b"\x01\x00\x05" + RAW,
        run_of_another_frame=b"\x01\x01\x04" + RAW,
        run_of_frame_255=b"\x01\xff\x04" + RAW,
        frame_without_run=b"\x01\x00\x04" + b"\x00\x02\x00wx\x00\x02\x00yz",
        runs_missing=b"\x05\x00\x04" + RAW,
    ),
)
def test_payloads_that_are_refused(payload):
    """A chunk of four bytes whose payload breaks a rule of sections 3 and 4 is refused by both."""
    assert both(payload, 4) == REFUSED


def rans(
    model: bytes = b"\x00\x0a\x0b\x03\x80\x80",
    escapes: bytes = b"",
    *,
    states: bytes = b"\x80\x02" * 64,
    stream: bytes = b"",
    segments: bytes = b"\x01\x01\x00",
    log2_streams: int = 0,
) -> bytes:
    """A frame of 64 bytes, by default all 0x0b: every lane goes from 0x280 to 0x100 and takes no byte."""
    others = (1 << log2_streams) - 1
    lengths = bytes([len(stream)] + [0] * others)
    plane = bytes([log2_streams]) + segments + model + escapes + lengths + states + b"\x00\x01" * 64 * others + stream
    return b"\x00\x40\x02" + bytes([len(plane) & 0x7F | 0x80, len(plane) >> 7]) + plane


ESCAPE = b"\x01\x0a\x0a\x01\x80\x80"
"""A model of one value and an escape, which takes the place of 0x0b."""

ADAPTIVE = b"\x00\x40\x03\x00"
"""A frame of 64 bytes as an adaptive plane, of whose bits none is stored."""

ALL_BYTES = bytes(range(64))
FILLER = b"\x00\xe8\x07\x01\x00"
"""A frame of 1000 zeros: leaves room for the states of a plane of 64 elements."""


def both_planes(frame: bytes) -> bytes | str:
    """What both decoders make of a frame of 64 bytes."""
    found = both(b"\x00" + frame + FILLER, 1064)
    return found if isinstance(found, str) else found[:64]


@pytest.mark.parametrize(
    ("frame", "original"),
    cases(
        plain=(rans(), b"\x0b" * 64),
        idle_streams=(rans(log2_streams=2), b"\x0b" * 64),
        bitmap_without_first_and_last=(rans(b"\x00\x08\x0e\x0c\x80\x80"), b"\x0b" * 64),
        state_below_256=(rans(states=b"\x81\x00" + b"\x80\x02" * 63, stream=b"\x00"), b"\x0b" * 64),
        escape_that_is_not_used=(rans(b"\x01\x0a\x0b\x03\x40\x80\x40", b"\x00", states=b"\x40\x02" * 64), b"\x0b" * 64),
        escape_values=(rans(ESCAPE, b"\x40\x00\x40\x00" + ALL_BYTES), ALL_BYTES),
        escape_values_of_another_layout=(rans(ESCAPE, b"\x40\x07\x20\x01\x00\x01" + ALL_BYTES[:32]), None),
        escape_values_in_rans=(rans(ESCAPE, b"\x40" + rans()), b"\x0b" * 64),
        escape_values_of_escape_values=(rans(ESCAPE, b"\x40" + rans(ESCAPE, b"\x40" + rans())), b"\x0b" * 64),
        adaptive_of_no_bytes=(ADAPTIVE, b"\xff" * 64),
    ),
)
def test_planes_that_are_read(frame, original):
    """Planes that no encoder writes but the format allows (5, 7.2) mean the same to both."""
    if original is None:
        original = np.arange(0x100, 0x120, dtype="<u2").tobytes()
    assert both_planes(frame) == original


@pytest.mark.parametrize(
    "frame",
    cases(
        eight_streams=rans(log2_streams=3),
        no_segment=rans(segments=b"\x00"),
        segment_too_long=rans(segments=b"\x01\x02\x00"),
        segment_of_nothing=rans(segments=b"\x01\x00\x00"),
        more_segments_than_tiles=rans(segments=b"\x02\x01\x00"),
        model_number_ahead=rans(segments=b"\x01\x01\x01"),
        escape_flag_2=rans(b"\x02\x0a\x0b\x03\x80\x80"),
        first_above_last=rans(b"\x00\x0b\x0a\x03\x80\x80"),
        bit_above_last=rans(b"\x00\x0a\x0b\x07\x80\x40\x40"),
        sum_of_255=rans(b"\x00\x0a\x0b\x03\x80\x7f"),
        frequency_0=rans(b"\x00\x0a\x0c\x07\x80\x80\x00"),
        no_entry=rans(b"\x00\x0a\x0b\x00"),
        one_entry=rans(b"\x00\x0a\x0a\x01\xff"),
        entries_65=rans(b"\x00\x00\x40" + b"\xff" * 8 + b"\x01" + b"\x01" * 64 + b"\xc0"),
        state_left_over=rans(states=b"\x80\x02" * 63 + b"\x81\x02"),
        byte_left_over=rans(stream=b"\x00"),
        byte_missing=rans(states=b"\x81\x00" + b"\x80\x02" * 63),
        second_byte_not_taken=rans(states=b"\x80\x00" + b"\x80\x02" * 63, stream=b"\x01\x00"),
        escapes_without_values=rans(ESCAPE, b"\x00"),
        adaptive_escape_values=rans(ESCAPE, b"\x40" + ADAPTIVE),
        value_missing=rans(ESCAPE, b"\x3f\x00\x3f\x00" + ALL_BYTES[:63]),
        value_too_many=rans(ESCAPE, b"\x41\x00\x41\x00" + ALL_BYTES + b"z"),
        values_shorter_than_said=rans(ESCAPE, b"\x40\x00\x3f\x00" + ALL_BYTES[:63]),
        values_without_an_escape=rans(escapes=b"\x00"),
        depth_3=rans(ESCAPE, b"\x40" + rans(ESCAPE, b"\x40" + rans(ESCAPE, b"\x40\x00\x40\x01z"))),
    ),
)
def test_planes_that_are_refused(frame):
    """A plane of 64 elements that breaks a rule of section 5 is refused by both."""
    assert both_planes(frame) == REFUSED


PLAIN = b"\x00" + RAW
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip"


@pytest.mark.parametrize("settings", [{"write_checksum": True}, {"level": 19}])
def test_zstd_that_is_read(settings):
    """A zstd frame may have a checksum and any level."""
    assert both(zstandard.ZstdCompressor(**settings).compress(PLAIN), 4, ZSTD_FLAG) == b"wxyz"


@pytest.mark.parametrize(
    "packed",
    cases(
        no_content_size=zstandard.ZstdCompressor(write_content_size=False).compress(PLAIN),
        a_byte_after=zstandard.compress(PLAIN) + b"\x00",
        two_frames=zstandard.compress(PLAIN) * 2,
        cut=zstandard.compress(PLAIN)[:-1],
        content_too_long=zstandard.compress(PLAIN + bytes(65)),
        skippable=SKIPPABLE,
        skippable_before=SKIPPABLE + zstandard.compress(PLAIN),
        skippable_after=zstandard.compress(PLAIN) + SKIPPABLE,
        empty=zstandard.compress(b""),
        not_zstd=PLAIN,
    ),
)
def test_zstd_that_is_refused(packed):
    """The payload of a zstd chunk is one frame with a content size, and nothing else (3.3)."""
    assert both(packed, 4, ZSTD_FLAG) == REFUSED


def changed(offset: int, byte: int, part: slice) -> bytes:
    """FOUR_VALUES with one byte changed, and the checksum of its header or footer made right."""
    data = bytearray(FOUR_VALUES)
    data[offset] = byte
    data[part.stop - 4 : part.stop] = independent_crc32c(bytes(data[part])[:-4]).to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize(
    ("container", "error"),
    cases(
        version_0=(changed(8, 0, HEADER), UnsupportedFormat),
        version_2=(changed(8, 2, HEADER), None),
        version_3=(changed(8, 3, HEADER), None),
        version_4=(changed(8, 4, HEADER), UnsupportedFormat),
        form_unknown=(changed(10, 2, HEADER), UnsupportedFormat),
        header_reserved=(changed(11, 1, HEADER), UnsupportedFormat),
        small_chunks=(changed(9, 11, HEADER), LimitExceeded),
        large_chunks=(changed(9, 25, HEADER), LimitExceeded),
        chunk_shorter_than_its_window=(changed(9, 12, HEADER), None),
        digest_flag=(changed(63, 2, FOOTER), CorruptContainer),
        digest_without_flag=(changed(63, 0, FOOTER), CorruptContainer),
        footer_reserved=(changed(64, 1, FOOTER), CorruptContainer),
        chunk_count=(changed(70, 2, FOOTER), CorruptContainer),
        too_many_chunks=(changed(74, 1, FOOTER), LimitExceeded),
        length=(changed(78, 9, FOOTER), CorruptContainer),
        index_offset=(changed(86, 0x2B, FOOTER), CorruptContainer),
        digest=(changed(94, 0, FOOTER), DigestMismatch),
        byte_after=(FOUR_VALUES + b"\x00", CodecError),
    ),
)
def test_headers_and_footers(container, error):
    """A header or footer with the right checksum that tells another story is refused by both for the same reason."""
    for decoder in (decode, decode_container):
        if error is None:
            assert len(decoder(container)) == 8
            continue
        with pytest.raises(error):
            decoder(container)
