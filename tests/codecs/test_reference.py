"""FORMAT.md and the decoder written from it: examples, tables, and damaged containers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from freebits_codecs import decode, encode
from freebits_codecs.container.frames import ITEM_NBYTES, PLANE_CODECS, PLANE_NAMES
from freebits_codecs.container.records import MAX_CHUNK_LOG2, MAX_CHUNKS, MIN_CHUNK_LOG2, PAYLOAD_SLACK_NBYTES
from freebits_codecs.errors import CodecError, TruncatedContainer
from freebits_codecs.planner import LAYOUTS
from freebits_codecs.reference import decode_container

TESTS = Path(__file__).parents[1]
FORMAT = (TESTS.parent / "codecs" / "FORMAT.md").read_text()
GOLDEN = TESTS / "golden"
FOUR_VALUES = (GOLDEN / "v1" / "example-four-values.fb").read_bytes()
RANS = (GOLDEN / "v1" / "example-rans.fb").read_bytes()
HEADER = (GOLDEN / "v3" / "example-header.fb").read_bytes()
ENTRIES = (
    b'"w":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]},"b":{"dtype":"U8","shape":[2,2],"data_offsets":[6,10]}'
)
TWOS = [127, 126, 127, 125, 127, 126, 127, 124] * 32


def section(number: str) -> str:
    """A section of FORMAT.md, without its subsections' siblings."""
    level = "#" * (1 + len(number.rstrip(".").split(".")))
    return re.split(rf"(?m)^{level} ", FORMAT.split(f"\n{level} {number} ")[1])[0]


def hex_dump(text: str) -> bytes:
    dump = re.search(r"```hex\n(.*?)```", text, re.DOTALL)[1]
    return bytes.fromhex("".join(line.split("  ", 1)[1] for line in dump.splitlines()))


@pytest.mark.parametrize(
    ("number", "container", "original"),
    [
        ("10.1", FOUR_VALUES, np.array([0x3F80, 0xBFC0, 0x3FE0, 0x3F90], "<u2").tobytes()),
        ("10.2", RANS, np.array([e << 7 for e in TWOS], "<u2").tobytes()),
        ("10.3", HEADER, ENTRIES),
    ],
)
def test_worked_examples_are_containers(number, container, original):
    """The bytes shown in FORMAT.md are the golden ones and decode to the values named there."""
    assert hex_dump(section(number)) == container
    assert decode_container(container) == decode(container) == original


@pytest.mark.parametrize("number", ["10.1", "10.2", "10.3"])
def test_worked_examples_are_explained_as_they_are(number):
    """Every row of an explanation shows the bytes that lie at its offset."""
    data = hex_dump(section(number))
    rows = re.findall(r"^\| ([0-9a-f]{2}) \| ([^|.]*)", section(number), re.MULTILINE)
    assert len(rows) > 10
    for offset, shown in rows:
        at, explained = int(offset, 16), bytes.fromhex(shown.replace("`", ""))
        assert data[at : at + len(explained)] == explained, offset


def test_registries_are_those_of_the_code():
    """Layouts and plane codecs have the codes, sizes and plane counts of the tables."""
    rows = re.findall(r"^\| (\d+) \| (\w+) \| (\d+) \| (\d+) \|$", section("4.3"), re.MULTILINE)
    facts = [
        (str(code), name, str(ITEM_NBYTES[name]), str(len(PLANE_NAMES[name]))) for code, name in enumerate(LAYOUTS)
    ]
    assert rows == facts
    codecs = re.findall(r"^\| (\d+) \| (\w+) \|", section("4.2"), re.MULTILINE)
    assert codecs == [(str(code), name) for code, name in enumerate(PLANE_CODECS)]


def test_limits_are_those_of_the_code():
    """The numbers of section 7 that Python code enforces are its constants."""
    limits = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|", section("7."), re.MULTILINE))
    assert limits["`chunk_log2`"] == f"{MIN_CHUNK_LOG2} to {MAX_CHUNK_LOG2}"
    assert limits["chunks of a container"] == f"2^{MAX_CHUNKS.bit_length() - 1}"
    assert limits["payload of a chunk record"] == f"`nbytes` + {PAYLOAD_SLACK_NBYTES}"


@pytest.mark.parametrize("name", ["realcugan-head.bin", "tinystoriesgru-int8.pt", "many-tiny-tensors.safetensors"])
def test_reference_decodes_what_is_written_now(name):
    """Real files, encoded by this version of the encoder, come back."""
    original = (TESTS / "data" / "formats" / name).read_bytes()
    assert decode_container(encode(original, sha256=True)) == original


def test_reference_decodes_a_mebibyte():
    """A whole chunk of weights, with two streams, comes back."""
    weights = np.random.default_rng(1).normal(0, 0.02, 1 << 19).astype("<f4").tobytes()[: 1 << 20]
    assert decode_container(encode(weights, sha256=True)) == weights


@pytest.mark.parametrize("container", [FOUR_VALUES, RANS], ids=["four-values", "rans"])
def test_every_prefix_is_truncated(container):
    """A container that ends early says so."""
    for length in range(len(container)):
        with pytest.raises(TruncatedContainer):
            decode_container(container[:length])


@pytest.mark.parametrize("container", [FOUR_VALUES, RANS], ids=["four-values", "rans"])
def test_every_bit_flip_is_refused(container):
    """No bit of a container can change unnoticed."""
    for bit in range(8 * len(container)):
        flipped = bytearray(container)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CodecError):
            decode_container(bytes(flipped))
