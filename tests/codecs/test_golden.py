"""Containers of every format version decode to the same bytes for ever, with every decoder."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from freebits_codecs import _core, decode
from freebits_codecs.container.records import VERSION
from freebits_codecs.reference import decode_container

GOLDEN = Path(__file__).parents[1] / "golden"
VERSIONS = [f"v{version}" for version in range(1, VERSION + 1)]
CASES = [
    (folder, name, facts)
    for folder in VERSIONS
    for name, facts in json.loads((GOLDEN / folder / "index.json").read_text()).items()
]
EACH = pytest.mark.parametrize(("folder", "name", "facts"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES])

DECODE_ALL = """
import sys
from freebits_codecs import ContainerReader, _core, decode_file
import hashlib, io, pathlib
assert _core.isa() == sys.argv[1]
for path in map(pathlib.Path, sys.argv[2:]):
    streamed = io.BytesIO()
    decode_file(path, streamed)
    with ContainerReader.open(path, threads=2) as reader:
        assert reader.read(0, reader.nbytes) == streamed.getvalue()
    print(hashlib.sha256(streamed.getvalue()).hexdigest())
"""
ENCODE_ALL = """
import sys
from freebits_codecs import encode
import hashlib, pathlib
for path in map(pathlib.Path, sys.argv[1:]):
    print(*(hashlib.sha256(encode(path.read_bytes(), threads=threads)).hexdigest() for threads in (1, 3)))
"""


def printed_with(isa: str, program: str, *arguments: str | Path) -> list[str]:
    """Lines that a program prints in a process that may only use one instruction set."""
    command = [sys.executable, "-c", program, *arguments]
    env = {**os.environ, "FREEBITS_ISA": isa}
    return subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()


def golden(folder: str, name: str) -> bytes:
    return (GOLDEN / folder / f"{name}.fb").read_bytes()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("folder", VERSIONS)
def test_index_lists_what_is_there(folder):
    """Every version has its folder, and no container lacks its entry, no entry its container."""
    listed = {name for of, name, _ in CASES if of == folder}
    assert listed == {path.stem for path in (GOLDEN / folder).glob("*.fb")}
    assert listed


@EACH
def test_container_is_as_it_was(folder, name, facts):
    """A golden container has the bytes it was written with."""
    assert sha256(golden(folder, name)) == facts["container_sha256"]


@EACH
def test_decodes_to_the_original(folder, name, facts):
    """The decoder of this library gives the original bytes."""
    original = decode(golden(folder, name))
    assert (len(original), sha256(original)) == (facts["nbytes"], facts["sha256"])


@EACH
def test_reference_decodes_to_the_original(folder, name, facts):
    """The decoder of FORMAT.md gives the original bytes."""
    assert sha256(decode_container(golden(folder, name))) == facts["sha256"]


@pytest.mark.parametrize("isa", _core.available_isas())
def test_every_instruction_set_decodes(isa):
    """As a stream and at random, whatever the machine can do."""
    paths = [GOLDEN / folder / f"{name}.fb" for folder, name, _ in CASES]
    assert printed_with(isa, DECODE_ALL, isa, *paths) == [facts["sha256"] for _, _, facts in CASES]


def test_goldens_cover_the_format():
    """Every layout, plane codec, stream count and depth of escape values occurs, and all that chunks can be."""
    seen = set()
    for folder, name, _ in CASES:
        decode_container(golden(folder, name), lambda what, value: seen.add((what, value)))
    covered = {what: {value for of, value in seen if of == what} for what, _ in seen}
    assert covered["layout"] == set(range(10))
    assert covered["codec"] == {0, 1, 2, 3, 4}
    assert covered["ending"] == {0, 1, 2}
    assert covered["streams"] == {1, 2, 4}
    assert covered["depth"] == {0, 1, 2}
    assert covered["escapes"] == {False, True}
    assert covered["zstd"] == {True}
    assert max(covered["models"]) > 1
    assert max(covered["runs"]) > 1
    assert {0, 1} < covered["chunks"]


def test_encoding_is_the_same_everywhere(tmp_path):
    """Every instruction set and number of threads writes the same container."""
    paths = [tmp_path / f"{folder}-{name}" for folder, name, _ in CASES]
    for path, (folder, name, _) in zip(paths, CASES, strict=True):
        path.write_bytes(decode(golden(folder, name)))
    paths.append(GOLDEN.parent / "data" / "formats" / "realcugan-head.bin")
    lines = {tuple(printed_with(isa, ENCODE_ALL, *paths)) for isa in _core.available_isas()}
    assert len(lines) == 1
    assert all(len(set(line.split())) == 1 for line in lines.pop())
