"""How containers end: files of one chunk have no index and no footer, and nothing else passes for one of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from freebits_codecs import BytesSource, ContainerReader, decode, decode_file, encode, encode_file
from freebits_codecs.container.ending import DIGEST_NBYTES, FOOTER_NBYTES, pack_digest
from freebits_codecs.container.records import (
    BARE,
    CHUNK_NBYTES,
    DIGESTED,
    HEADER_NBYTES,
    INDEX,
    INDEXED,
    RECORD_NBYTES,
    Header,
)
from freebits_codecs.errors import CodecError, CorruptContainer, DigestMismatch, TruncatedContainer, UnsupportedFormat
from freebits_codecs.reference import decode_container
from freebits_codecs.testing import Parts, RecordParts, values

DATA = values("normal", "BF16", 2000)


def decode_stream(container: bytes) -> bytes:
    """Front to back, as from a pipe."""
    out = io.BytesIO()
    decode_file(io.BytesIO(container), out)
    return out.getvalue()


READERS = [decode, decode_stream, decode_container]
everyone = pytest.mark.parametrize("read", READERS)
Read = Callable[[bytes], bytes]


def header_of(container: bytes) -> Header:
    return Header.parse(container[:HEADER_NBYTES])


@everyone
@pytest.mark.parametrize("sha256", [False, True])
def test_one_chunk_needs_no_index(read: Read, sha256: bool) -> None:
    """Header, record and at most a digest; every reader gives the file back and knows the digest."""
    container = encode(DATA, sha256=sha256)
    reader = ContainerReader(BytesSource(container))
    payload_nbytes = reader.read_record(0)[0].stored_nbytes
    assert header_of(container).ending == (DIGESTED if sha256 else BARE)
    assert len(container) == HEADER_NBYTES + RECORD_NBYTES + payload_nbytes + sha256 * DIGEST_NBYTES
    assert (reader.chunk_count, reader.nbytes, reader.sha256 is not None) == (1, len(DATA), sha256)
    assert read(container) == DATA
    assert reader.read(1000, 1010) == DATA[1000:1010]


@pytest.mark.parametrize("nbytes", [0, CHUNK_NBYTES, CHUNK_NBYTES + 1])
def test_other_files_have_one(nbytes: int) -> None:
    """No chunk; a full one, behind which another could have come; two."""
    container = encode(bytes(nbytes))
    assert header_of(container).ending == INDEXED
    assert container[-FOOTER_NBYTES:][:1] == b"F"
    assert all(read(container) == bytes(nbytes) for read in READERS)


@pytest.mark.parametrize("sha256", [False, True])
@pytest.mark.parametrize("nbytes", [0, 1, 3000, CHUNK_NBYTES - 1, CHUNK_NBYTES])
def test_pipes_end_alike(nbytes: int, sha256: bool) -> None:
    """Whoever does not know the length beforehand writes the same container."""
    piped = io.BytesIO()
    encode_file(io.BytesIO(bytes(nbytes)), piped, sha256=sha256)
    assert piped.getvalue() == encode(bytes(nbytes), sha256=sha256)


def parts(ending: int) -> Parts:
    return replace(Parts.of(encode(DATA, sha256=True)), ending=ending)


RAW = RecordParts(4, b"\0\0\4\0wxyz")
DIGEST = pack_digest("0" * 64)


@everyone
@pytest.mark.parametrize("ending", [BARE, DIGESTED])
def test_a_full_chunk_may_end_so(read: Read, ending: int) -> None:
    """Not written, since a pipe does not tell; read all the same."""
    full = np.random.default_rng(1).bytes(4096)
    record = RecordParts(4096, b"\0\0\x80\x20\0" + full)
    sha256 = None if ending == BARE else ContainerReader(BytesSource(encode(full, sha256=True))).sha256
    assert read(Parts([record], sha256, 4096, ending).container()) == full


@everyone
@pytest.mark.parametrize(
    ("container", "error"),
    [
        pytest.param(Parts([], None, ending=BARE).container(), TruncatedContainer, id="no chunk"),
        pytest.param(Parts([RAW, RAW], None, ending=BARE).container(), CorruptContainer, id="two chunks"),
        pytest.param(Parts([RAW], None, ending=DIGESTED).container(), TruncatedContainer, id="no digest"),
        pytest.param(Parts([RAW], "0" * 64, ending=DIGESTED).container(), DigestMismatch, id="another digest"),
        pytest.param(Parts([RAW], "0" * 64, ending=BARE).container(), CorruptContainer, id="digest too many"),
        pytest.param(Parts([RAW], "0" * 64, ending=DIGESTED).container() + DIGEST, CorruptContainer, id="two digests"),
        pytest.param(
            Parts([RecordParts(4, RAW.payload, kind=INDEX, number=0)], None, ending=BARE).container(),
            CorruptContainer,
            id="index for a chunk",
        ),
    ],
)
def test_what_passes_for_no_short_container(read: Read, container: bytes, error: type[CodecError]) -> None:
    """One chunk, and what the header says comes behind it."""
    with pytest.raises(error):
        read(container)


@everyone
@pytest.mark.parametrize(("version", "ending"), [(1, BARE), (2, DIGESTED), (3, 3), (3, 255)])
def test_unknown_endings(read: Read, version: int, ending: int) -> None:
    """Not before version 3, and no others."""
    header = Header(version=version, ending=ending).pack()
    with pytest.raises(UnsupportedFormat):
        read(header + encode(DATA)[HEADER_NBYTES:])


@everyone
def test_damage_to_a_digest_is_told_from_another_file(read: Read) -> None:
    """It has a checksum of its own."""
    container = bytearray(parts(DIGESTED).container())
    container[-20] ^= 1
    with pytest.raises(CorruptContainer, match="digest"):
        read(bytes(container))
