"""Header planes: offsets that follow are not stored, all others are, and both decoders count alike."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freebits_codecs import BytesSource, ContainerReader, _core, decode, encode
from freebits_codecs.container import frames
from freebits_codecs.container.decoder import inflate
from freebits_codecs.container.header_plane import without_offsets
from freebits_codecs.container.records import CHUNK_NBYTES, ZSTD_FLAG
from freebits_codecs.dtype import DTYPES
from freebits_codecs.errors import CodecError
from freebits_codecs.reference.chunk import decode_chunk
from freebits_codecs.testing import Parts, safetensors, values

REFUSED = "refused"
HEADER_PLANE_FAULT = 14
"""csrc/status.h"""


def frame_of(codec: int, coded: bytes, numel: int) -> bytes:
    return b"\0" + frames.pack_varint(numel) + bytes([codec]) + coded


def raw_payload(text: bytes) -> memoryview:
    """A chunk of this text."""
    return memoryview(b"\0" + frame_of(frames.RAW, text, len(text)))


def header_payload(marked: bytes, rest: bytes = b"", *, numel: int) -> bytes:
    """A chunk of one header plane."""
    coded = frames.pack_varint(len(marked)) + marked + rest
    return b"\0" + frame_of(frames.HEADER, frames.pack_varint(len(coded)) + coded, numel)


def both(payload: bytes, nbytes: int) -> bytes | str:
    """What the native decoder and the reference make of a payload; they must agree."""
    out = bytearray(nbytes)
    found = REFUSED if _core.decode_payload(payload, out) else bytes(out)
    try:
        expected: bytes | str = decode_chunk(payload, nbytes, False, lambda what, value: None)
    except CodecError:
        expected = REFUSED
    assert found == expected
    return found


def tensor(dtype: str, shape: str, offsets: str) -> bytes:
    return b'"t":{"dtype":"%b","shape":[%b],"data_offsets":[%b]},' % (dtype.encode(), shape.encode(), offsets.encode())


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(dtype: str) -> None:
    """Two tensors of three elements: the second begins where the first ends."""
    nbytes = 3 * DTYPES[dtype].itemsize
    text = tensor(dtype, "3", f"0,{nbytes}") + tensor(dtype, "1,3", f"{nbytes},{2 * nbytes}")
    payload = without_offsets(raw_payload(text))
    assert bytes(payload).count(b"\1]") == 2
    assert both(bytes(payload), len(text)) == text


FIRST = tensor("BF16", "50,2", "0,200")
SECOND = tensor("F64", "1000", "200,8200")
COUNTED = {
    "scalar": tensor("F64", "", "200,208"),
    "nothing": tensor("F16", "0,7", "200,200"),
    "many dimensions": tensor("U8", ",".join(["7"] + ["1"] * 90), "200,207"),
    "the largest": tensor("U8", str(2**63 - 201), f"200,{2**63 - 1}"),
}
KEPT = {
    "another beginning": tensor("F32", "4", "1,17"),
    "another end": tensor("F32", "4", "0,17"),
    "zeros in front": tensor("F32", "4", "0,016"),
    "dtype unknown": tensor("F4", "4", "0,16"),
    "part of a dtype": tensor("XF32", "4", "0,16"),
    "spaces": tensor("F32", "4", "0, 16"),
    "too long": tensor("U8", str(2**63), f"0,{2**63}"),
    "too long on the way to nothing": tensor("U8", f"{2**63},0", "0,0"),
    "more digits than fit": tensor("U8", "1" + "0" * 19 + ",0", "0,0"),
    "no numbers": tensor("F32", "4,", "0,16") + tensor("F32", ",4", "0,16") + tensor("F32", "-4", "0,-16"),
    "other order": b'"t":{"data_offsets":[0,16],"dtype":"F32","shape":[4]}',
}


@pytest.mark.parametrize("text", COUNTED.values(), ids=COUNTED)
def test_offsets_that_are_counted_out(text: bytes) -> None:
    """Those of the tensor before are left out, too, and both decoders know them."""
    payload = bytes(without_offsets(raw_payload(FIRST + text)))
    assert payload.count(b"[\1]") == 2
    assert both(payload, len(FIRST + text)) == FIRST + text


def test_ends_beyond_all_files_are_kept() -> None:
    """Two halves of too much."""
    text = tensor("U8", str(2**62), f"0,{2**62}") + tensor("U8", str(2**62), f"{2**62},{2**63}")
    payload = bytes(without_offsets(raw_payload(text)))
    assert payload.count(b"[\1]") == 1
    assert both(payload, len(text)) == text


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_offsets_that_are_kept(text: bytes) -> None:
    """Beside others that are not, so that there is a header plane; what decoders would refuse is not written."""
    text += FIRST + SECOND
    payload = bytes(without_offsets(raw_payload(text)))
    assert payload.count(b"[\1]") == 2
    assert both(payload, len(text)) == text


def test_marks_in_the_text_are_text() -> None:
    """Also right before and behind offsets, and in the bytes behind the last ones, which are as they are."""
    text = b"\1\2" + FIRST + b"\2\1" + tensor("I8", "9", "200,209") + b"\1\2" * 100
    payload = bytes(without_offsets(raw_payload(text)))
    assert payload.endswith(b"\1\2" * 100)
    assert both(payload, len(text)) == text


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=5),
            st.builds(tensor, st.sampled_from([*DTYPES, "F4"]), st.sampled_from(["", "0", "3", "2,5"]), st.just("0,6")),
            st.sampled_from([FIRST, tensor("U8", "7", "200,207"), tensor("F32", "", "200,204"), b"\1", b"\2"]),
        ),
        max_size=12,
    )
)
def test_any_text_comes_back(pieces: list[bytes]) -> None:
    """Whatever is in it."""
    text = b"".join(pieces) or b"x"
    payload = without_offsets(raw_payload(text))
    assert len(payload) <= len(text) + 16
    assert both(bytes(payload), len(text)) == text


ENTRY = b'"dtype":"F32","shape":[4],"data_offsets":['


@pytest.mark.parametrize(
    ("marked", "rest", "text"),
    [
        (b"", b"wxyz", b"wxyz"),
        (b"wxyz", b"", b"wxyz"),
        (b"\2\1\2\2\2x", b"\1", b"\1\2x\1"),
        (ENTRY + b"\1", b"]", ENTRY + b"0,16]"),
        (b"]" + ENTRY + b"\1" + ENTRY + b"\1", b"", b"]" + ENTRY + b"0,16" + ENTRY + b"16,32"),
        (ENTRY[:-1] + b"\2[\1", b"", ENTRY + b"0,16"),
    ],
)
def test_planes_that_are_read(marked: bytes, rest: bytes, text: bytes) -> None:
    """Also what no encoder writes: nothing marked, letters written as literals."""
    assert both(header_payload(marked, rest, numel=len(text)), len(text)) == text


@pytest.mark.parametrize(
    "marked",
    [
        b"\1",
        b"[\1",
        b"x\2",
        ENTRY[:-1] + b"\1",
        ENTRY[1:] + b"\1",
        ENTRY + b" \1",
        ENTRY + b"\1\1",
        ENTRY.replace(b"F32", b"F31") + b"\1",
        ENTRY.replace(b"4", b"4,") + b"\1",
        ENTRY.replace(b"4", b",4") + b"\1",
        ENTRY.replace(b"4", b"4,,4") + b"\1",
        ENTRY.replace(b"4", b"0" * 20) + b"\1",
        ENTRY.replace(b"4", b"%d" % 2**61) + b"\1",
        ENTRY.replace(b"4", b"%d,0" % 2**61) + b"\1",
        (ENTRY.replace(b"4", b"%d" % 2**60) + b"\1") * 2,
    ],
)
def test_planes_that_are_refused(marked: bytes) -> None:
    """Whatever length the plane is said to have."""
    for nbytes in range(1, 3 * len(marked) + 45):
        assert both(header_payload(marked, numel=nbytes), nbytes) == REFUSED


@pytest.mark.parametrize("change", [-1, 1])
def test_another_length_is_refused(change: int) -> None:
    text = ENTRY + b"0,16]}"
    nbytes = len(text) + change
    assert both(header_payload(ENTRY + b"\1", b"]}", numel=nbytes), nbytes) == REFUSED


def test_marked_bytes_beyond_the_payload_are_refused() -> None:
    payload = header_payload(b"wxyz", numel=4).replace(b"\4wxyz", b"\5wxyz")
    assert both(payload, 4) == REFUSED


def test_only_bytes_are_a_header() -> None:
    """No plane of elements may be one."""
    payload = b"\0" + b"\7\4" + bytes([frames.HEADER, frames.RAW]) + b"abcd" + b"\5\0wxyz"
    assert both(payload, 8) == REFUSED
    fault = _core.decode_payload(payload, bytearray(8))
    assert fault is not None
    assert fault[1] == HEADER_PLANE_FAULT


def inner_codecs(container: bytes, chunk: int = 0) -> set[int]:
    """Of all planes of a chunk."""
    record, stored = ContainerReader(BytesSource(container)).read_record(chunk)
    payload = stored[-record.stored_nbytes :]
    if record.flags & ZSTD_FLAG:
        payload = memoryview(inflate(payload, record.nbytes, chunk))
    return {plane.codec for frame in frames.parse_payload(payload).frames for plane in frame.planes}


@pytest.mark.parametrize("numel", [100, CHUNK_NBYTES // 8])
def test_files_have_them_in_their_first_chunk(numel: int) -> None:
    """Small files and large ones; the container says version 3."""
    data = safetensors([("BF16", values("normal", "BF16", numel, seed)) for seed in range(20)])
    container = encode(data)
    reader = ContainerReader(BytesSource(container))
    assert reader.version == 3
    assert frames.HEADER in inner_codecs(container)
    assert all(frames.HEADER not in inner_codecs(container, chunk) for chunk in range(1, reader.chunk_count))
    assert decode(container) == data


def test_a_header_takes_half() -> None:
    """Names, shapes and dtypes recur; where tensors lie does not."""
    entries, at = {}, 0
    for layer in range(200):
        for name, rows in (("attn.q_proj", 48), ("attn.o_proj", 56), ("mlp.up_proj", 160)):
            nbytes = 2 * 48 * rows
            facts = {"dtype": "BF16", "shape": [rows, 48], "data_offsets": [at, at + nbytes]}
            entries[f"model.layers.{layer}.{name}.weight"] = facts
            at += nbytes
    stored = {
        separators: len(encode(json.dumps(entries, separators=separators).encode()))
        for separators in ((",", ":"), (", ", ": "))
    }
    assert stored[",", ":"] < 0.5 * stored[", ", ": "]


def test_other_large_files_stay_version_1() -> None:
    """Nothing in them is newer."""
    data = values("normal", "BF16", CHUNK_NBYTES)
    assert ContainerReader(BytesSource(encode(data))).version == 1
    assert Parts.of(encode(data)).container() == encode(data)
