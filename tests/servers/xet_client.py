"""What Xet clients do, and what they should not do. Written from the protocol, not from the hub.

Uploads: makes xorbs and shards. Downloads: reads files as they are described to clients.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import httpx
import lz4.frame
from blake3 import blake3
from hf_client import HfClient, lfs_line

DATA_KEY = bytes.fromhex("6697f5775b9550de3135cbaca597181c9de421109beb2b58b4d0b04b93adf229")
VERIFICATION_KEY = bytes.fromhex("7f1857d6ce56ed66127ff913e7a5c3f3a4cd26d5b5db49e64124987f28fb94c3")
SHARD_TAG = b"HFRepoMetaData" + bytes.fromhex("00556967456a7b815783a5bdd95ccdd14aa9")
CHUNK_NBYTES = 65536
# Names of the hub for who asks from the same machine, as far as the hub can see, and from another one: that is how a
# test's client is called.
HERE, ELSEWHERE = "http://testclient", "http://hub.example"
RAW, LZ4, GROUPED_LZ4 = 0, 1, 2
WITH_VERIFICATION, WITH_METADATA = 1 << 31, 1 << 30


def words_swapped(raw: bytes) -> bytes:
    """Each 8 bytes the other way round: between a hash as bytes and as it is printed."""
    return b"".join(raw[start : start + 8][::-1] for start in range(0, 32, 8))


def pack(chunk: bytes, scheme: int) -> bytes:
    """One chunk with its header."""
    grouped = b"".join(chunk[position::4] for position in range(4)) if scheme == GROUPED_LZ4 else chunk
    packed = chunk if scheme == RAW else lz4.frame.compress(grouped)
    return header(len(packed), scheme, len(chunk)) + packed


def header(packed_nbytes: int, scheme: int, nbytes: int, version: int = 0) -> bytes:
    """The header of a chunk."""
    return bytes([version]) + packed_nbytes.to_bytes(3, "little") + bytes([scheme]) + nbytes.to_bytes(3, "little")


@dataclass(frozen=True)
class MadeXorb:
    """Chunks, and what they are packed into. The name is any hash: what counts is that it is used again."""

    chunks: Sequence[bytes]
    schemes: Sequence[int] = (RAW, LZ4, GROUPED_LZ4)

    @property
    def data(self) -> bytes:
        """What is sent."""
        return b"".join(
            pack(chunk, self.schemes[number % len(self.schemes)]) for number, chunk in enumerate(self.chunks)
        )

    @property
    def name(self) -> str:
        """What it is called."""
        return blake3(self.data).hexdigest()


@dataclass(frozen=True)
class MadeSegment:
    """Chunks ``[first, stop)`` of a xorb in a file."""

    xorb: MadeXorb
    first: int
    stop: int
    verification: bytes | None = None
    nbytes: int | None = None

    @property
    def content(self) -> bytes:
        """The bytes of the chunks."""
        return b"".join(self.xorb.chunks[self.first : self.stop])

    def entry(self) -> bytes:
        """As it is in a shard."""
        nbytes = len(self.content) if self.nbytes is None else self.nbytes
        name = words_swapped(bytes.fromhex(self.xorb.name))
        return name + struct.pack("<4I", 0, nbytes, self.first, self.stop)

    def verification_entry(self) -> bytes:
        """The hash over its chunks' hashes, right unless told otherwise."""
        hashes = [blake3(chunk, key=DATA_KEY).digest() for chunk in self.xorb.chunks[self.first : self.stop]]
        right = blake3(b"".join(hashes), key=VERIFICATION_KEY).digest()
        return (self.verification or right) + bytes(16)


@dataclass(frozen=True)
class MadeFile:
    """A file of segments."""

    segments: Sequence[MadeSegment]
    sha256: str = ""
    flags: int = WITH_VERIFICATION | WITH_METADATA
    count: int | None = None

    @property
    def content(self) -> bytes:
        """Its bytes."""
        return b"".join(segment.content for segment in self.segments)

    def entries(self) -> bytes:
        """As it is in a shard."""
        digest = self.sha256 or hashlib.sha256(self.content).hexdigest()
        count = len(self.segments) if self.count is None else self.count
        parts = [b"\x11" * 32 + struct.pack("<2IQ", self.flags, count, 0)]
        parts += [segment.entry() for segment in self.segments]
        parts += [segment.verification_entry() for segment in self.segments]
        parts.append(words_swapped(bytes.fromhex(digest)) + bytes(16))
        return b"".join(parts)


@dataclass(frozen=True)
class MadeShard:
    """Files, and the end of their list."""

    files: Sequence[MadeFile]
    tag: bytes = SHARD_TAG
    version: int = 2
    end: bytes = field(default=b"\xff" * 32 + bytes(16))

    @property
    def data(self) -> bytes:
        """What is sent."""
        head = self.tag + struct.pack("<2Q", self.version, 0)
        return head + b"".join(file.entries() for file in self.files) + self.end


def cut(content: bytes, nbytes: int = CHUNK_NBYTES) -> list[bytes]:
    """Chunks of a content; a real client cuts where the content says."""
    return [content[start : start + nbytes] for start in range(0, len(content), nbytes)]


def whole_file(content: bytes) -> MadeFile:
    """A file that is all of one xorb."""
    xorb = MadeXorb(cut(content))
    return MadeFile([MadeSegment(xorb, 0, len(xorb.chunks))])


def altered(file: MadeFile, **changes: object) -> MadeFile:
    """The file with its first segment changed."""
    first, *rest = file.segments
    return replace(file, segments=[replace(first, **changes), *rest])  # type: ignore[arg-type]


@dataclass
class XetWriter:
    """A client with a token to upload to one repo."""

    user: HfClient
    repo: str

    def __post_init__(self) -> None:
        reply = self.user.get(f"/api/models/{self.repo}/xet-write-token/main")
        assert reply.status_code == 200, reply.text
        body = reply.json()
        assert reply.headers["x-xet-access-token"] == body["accessToken"]
        assert reply.headers["x-xet-token-expiration"] == str(body["exp"])
        assert reply.headers["x-xet-cas-url"] == body["casUrl"]
        self.path, self.token = urlsplit(body["casUrl"]).path, body["accessToken"]

    def post(self, path: str, content: bytes) -> httpx.Response:
        """POST to the address for uploads."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.user.http.post(self.path + path, content=content, headers=headers)

    def send(self, *xorbs: MadeXorb) -> None:
        """Send xorbs."""
        for xorb in xorbs:
            assert self.post(f"/v1/xorbs/default/{xorb.name}", xorb.data).status_code == 200

    def register(self, *files: MadeFile) -> dict[str, Any]:
        """Send a shard; the last line of the answer."""
        reply = self.post("/v2/shards", MadeShard(files).data)
        assert reply.status_code == 200, reply.text
        last: dict[str, Any] = json.loads(reply.text.splitlines()[-1])
        return last

    def push(self, file: MadeFile, path: str = "model.bin") -> httpx.Response:
        """Send a file with its xorbs, and commit it."""
        self.send(*{segment.xorb.name: segment.xorb for segment in file.segments}.values())
        assert self.register(file) == {"type": "result"}
        return self.user.commit(self.repo, lfs_line(path, file.content))


def unpacked_chunks(xorb: bytes) -> list[bytes]:
    """The chunks of some whole frames."""
    chunks, at = [], 0
    while at < len(xorb):
        version, scheme = xorb[at], xorb[at + 4]
        packed, nbytes = (int.from_bytes(xorb[at + start : at + start + 3], "little") for start in (1, 5))
        assert version == 0
        assert 0 < packed <= nbytes <= 2 * CHUNK_NBYTES
        assert at + 8 + packed <= len(xorb), "the last frame is cut off"
        chunks.append(unpack(xorb[at + 8 : at + 8 + packed], scheme))
        assert len(chunks[-1]) == nbytes
        at += 8 + packed
    return chunks


def unpack(packed: bytes, scheme: int) -> bytes:
    """What `pack` made, without the header."""
    if scheme == RAW:
        return packed
    chunk = bytearray(lz4.frame.decompress(packed))
    if scheme == GROUPED_LZ4:
        grouped, start = bytes(chunk), 0
        for position in range(4):
            nbytes = len(chunk[position::4])
            chunk[position::4] = grouped[start : start + nbytes]
            start += nbytes
    return bytes(chunk)


@dataclass(frozen=True)
class Fetch:
    """Where the bytes of some chunks are: an address, and a range there whose last byte is inside."""

    url: str
    first: int
    last: int


@dataclass
class XetReader:
    """A client with a token to download from one repo."""

    user: HfClient
    repo: str
    revision: str = "main"
    origin: str = HERE

    def __post_init__(self) -> None:
        reply = self.user.get(f"/api/models/{self.repo}/xet-read-token/{self.revision}")
        assert reply.status_code == 200, reply.text
        body = reply.json()
        told = {name: reply.headers[name] for name in ("x-xet-access-token", "x-xet-token-expiration", "x-xet-cas-url")}
        assert list(told.values()) == [body["accessToken"], str(body["exp"]), body["casUrl"]]
        self.path, self.token = urlsplit(body["casUrl"]).path, body["accessToken"]

    def ask(self, sha256: str, span: str | None = None, version: int = 2) -> httpx.Response:
        """What a file is made of, or the bytes ``a-b`` of it."""
        headers = {"Authorization": f"Bearer {self.token}"} | ({"Range": f"bytes={span}"} if span else {})
        return self.user.http.get(f"{self.origin}{self.path}/v{version}/reconstructions/{sha256}", headers=headers)

    def fetch(self, url: str, span: str | None = None) -> httpx.Response:
        """Bytes of a xorb, by the address that was given for it and nothing else."""
        return self.user.http.get(url, headers={"Range": f"bytes={span}"} if span else {})

    def read(self, sha256: str, start: int = 0, stop: int | None = None, version: int = 2) -> bytes:
        """The bytes ``[start, stop)`` of a file, or all of it."""
        reply = self.ask(sha256, None if stop is None else f"{start}-{stop - 1}", version)
        assert reply.status_code == 200, reply.text
        body, parts = reply.json(), []
        for term in body["terms"]:
            fetch = fetch_of(body, term)
            sent, nbytes = self.fetch(fetch.url, f"{fetch.first}-{fetch.last}"), fetch.last - fetch.first + 1
            if self.origin == HERE:
                assert (sent.status_code, len(sent.content)) == (206, nbytes), sent.text[:300]
            else:
                assert (sent.status_code, len(sent.content) <= nbytes) == (200, True), sent.text[:300]
            chunks = unpacked_chunks(sent.content)
            assert len(chunks) == term["range"]["end"] - term["range"]["start"]
            assert sum(map(len, chunks)) == term["unpacked_length"] <= 64 << 20
            parts += chunks
        data = b"".join(parts)[body["offset_into_first_range"] :]
        return data if stop is None else data[: stop - start]


def fetch_of(body: dict[str, Any], term: dict[str, Any]) -> Fetch:
    """Where the chunks of a term are, by either version of an answer; exactly those."""
    if "xorbs" in body:
        [listed] = body["xorbs"][term["hash"]]
        [found] = listed["ranges"]
        chunks, bytes_of, url = found["chunks"], found["bytes"], listed["url"]
    else:
        [listed] = body["fetch_info"][term["hash"]]
        chunks, bytes_of, url = listed["range"], listed["url_range"], listed["url"]
    assert chunks == term["range"]
    return Fetch(url, bytes_of["start"], bytes_of["end"])
