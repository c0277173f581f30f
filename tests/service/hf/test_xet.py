"""Uploads by Xet: files are put together from chunks, and nothing is believed that can be checked."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hf_client import HfClient, file_line, hf_digest, lfs_line
from sqlalchemy import update
from xet_client import (
    GROUPED_LZ4,
    LZ4,
    RAW,
    WITH_METADATA,
    MadeFile,
    MadeSegment,
    MadeShard,
    MadeXorb,
    XetWriter,
    altered,
    cut,
    header,
    pack,
    whole_file,
)

from freebits_service.blobs.keys import BLOBS
from freebits_service.clock import now
from freebits_service.collection.operations import collect
from freebits_service.collection.survey import survey
from freebits_service.context import Hub
from freebits_service.models import Xorb
from freebits_service.xet import epochs

CONTENT = random.Random(1).randbytes(150_000) + bytes(200_001)


@pytest.fixture
def thief(new_user: Callable[[str], HfClient]) -> XetWriter:
    """Somebody else, with a repo."""
    user = new_user("thief")
    assert user.create("own").status_code == 200
    return XetWriter(user, "thief/own")


def test_a_file_of_chunks_of_all_schemes(xet: XetWriter) -> None:
    """It comes out as it was; the same shard again, by the first version of the protocol, changes nothing."""
    file = whole_file(CONTENT)
    assert xet.push(file).status_code == 200
    assert xet.user.get("/admin/m/resolve/main/model.bin").content == CONTENT
    again = xet.post("/v1/shards", MadeShard([file]).data)
    assert (again.status_code, again.json()) == (200, {"result": 1})


def test_a_file_of_pieces_of_several_xorbs(xet: XetWriter) -> None:
    """Out of order, from the middle, the same piece twice, from more xorbs than are kept open."""
    xorbs = [MadeXorb(cut(random.Random(seed).randbytes(300_000), 20_000)) for seed in range(6)]
    order = random.Random(3)
    segments = []
    for _ in range(40):
        xorb = order.choice(xorbs)
        first = order.randrange(len(xorb.chunks))
        segments.append(MadeSegment(xorb, first, order.randrange(first, len(xorb.chunks)) + 1))
    file = MadeFile(segments)
    assert xet.push(file).status_code == 200
    assert xet.user.get("/admin/m/resolve/main/model.bin").content == file.content


def test_several_files_in_a_shard(xet: XetWriter) -> None:
    """Each can be committed."""
    files = [whole_file(CONTENT[start:]) for start in (0, 1000, 2000)]
    xet.send(*[file.segments[0].xorb for file in files])
    assert xet.register(*files) == {"type": "result"}
    lines = [lfs_line(f"{number}.bin", file.content) for number, file in enumerate(files)]
    assert xet.user.commit("admin/m", *lines).status_code == 200


def test_the_same_file_twice_in_a_shard(xet: XetWriter, hub: Hub) -> None:
    """Both are made at once; one object is kept, and a wrong file beside them is told of all the same."""
    file = whole_file(CONTENT)
    xet.send(file.segments[0].xorb)
    assert xet.register(file, file, file) == {"type": "result"}
    assert xet.user.commit("admin/m", lfs_line("model.bin", CONTENT)).status_code == 200
    assert sum(hf_digest(CONTENT) in found.name for found in hub.store.list(BLOBS)) == 1
    assert not list(hub.store.list_staged())
    wrong = altered(whole_file(CONTENT[1:]), verification=b"\1" * 32)
    xet.send(wrong.segments[0].xorb)
    assert xet.register(wrong, file)["type"] == "error"
    assert not list(hub.store.list_staged())


def test_global_deduplication_is_not_offered(xet: XetWriter) -> None:
    """404 is the protocol's word for it."""
    reply = xet.user.http.get(f"{xet.path}/v1/chunks/default/{'a' * 64}")
    assert (reply.status_code, reply.json()["code"]) == (404, "NOT_FOUND")


def test_chunks_of_others_cannot_be_named(xet: XetWriter, thief: XetWriter) -> None:
    """A shard that refers to somebody else's xorb is refused, however much its sender knows of the file."""
    file = whole_file(CONTENT)
    assert xet.push(file).status_code == 200
    last = thief.register(file)
    assert (last["type"], last["retryable"]) == ("error", False)
    assert "was not sent by you" in last["message"]
    assert thief.user.commit("thief/own", lfs_line("stolen.bin", CONTENT)).status_code == 422
    thief.send(file.segments[0].xorb)  # who has the bytes may have the file
    assert thief.register(file) == {"type": "result"}


def test_tokens_are_for_one_repo_and_for_uploads(xet: XetWriter, thief: XetWriter) -> None:
    """Neither the user's token nor one of another purpose opens the address; a repo that is gone takes nothing."""
    file = whole_file(CONTENT)
    for wrong in (xet.user.token, "", "a.b.c"):
        headers = {"Authorization": f"Bearer {wrong}"}
        reply = xet.user.http.post(f"{xet.path}/v2/shards", content=MadeShard([file]).data, headers=headers)
        assert reply.status_code == 401
    assert thief.user.get("/api/models/admin/m/xet-write-token/main").status_code == 404
    thief.send(file.segments[0].xorb)
    assert thief.user.request("DELETE", "/api/repos/delete", json={"name": "own"}).status_code == 200
    assert thief.register(file)["type"] == "error"


def test_a_wrong_verification_hash(xet: XetWriter) -> None:
    """Who only knows the name of a xorb and numbers of chunks does not get further."""
    file = altered(whole_file(CONTENT), verification=b"\1" * 32)
    xet.send(file.segments[0].xorb)
    last = xet.register(file)
    assert last["type"] == "error"
    assert "not those that the shard means" in last["message"]


def test_a_wrong_sha256(xet: XetWriter) -> None:
    """The chunks must make the file that was announced."""
    file = MadeFile(whole_file(CONTENT).segments, sha256=hf_digest(b"other"))
    xet.send(file.segments[0].xorb)
    last = xet.register(file)
    assert last["type"] == "error"
    assert "SHA-256" in last["message"]
    assert xet.user.commit("admin/m", lfs_line("wrong.bin", b"other")).status_code == 422


def test_a_segment_of_another_length(xet: XetWriter) -> None:
    """Shorter and longer than its chunks."""
    for nbytes in (len(CONTENT) - 1, len(CONTENT) + 1):
        file = altered(whole_file(CONTENT), nbytes=nbytes)
        xet.send(file.segments[0].xorb)
        assert xet.register(file)["type"] == "error"


CHUNK = bytes(1000)


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 7,
        header(1000, RAW, 1000),
        header(1000, RAW, 1000) + CHUNK[1:],
        header(1000, 3, 1000) + CHUNK,
        header(0, RAW, 0),
        header(1000, RAW, 1001) + CHUNK,
        header(1 << 20, RAW, 1 << 20) + bytes(1 << 20),
        header(1000, LZ4, 1000) + CHUNK,
        header(9, LZ4, 1000) + b"\x04\x22\x4d\x18" + bytes(5),
        MadeXorb([bytes(131_072)], [LZ4]).data.replace(
            (131_072).to_bytes(3, "little"), (1000).to_bytes(3, "little"), 1
        ),
        MadeXorb([bytes(5000)], [GROUPED_LZ4]).data[:-3],
        (header(1, RAW, 1) + b"x") * (8 * 1024 + 1),
        pack(bytes(131_072), LZ4) * (66 * 8 + 1),
    ],
    ids=lambda data: f"{len(data)}-{data[:8].hex()}",
)
def test_malformed_xorbs(xet: XetWriter, hub: Hub, data: bytes) -> None:
    """What a xorb says of itself is checked before it is used; an LZ4 frame gets no more room than it announced."""
    reply = xet.post(f"/v1/xorbs/default/{'b' * 64}", data)
    assert (reply.status_code, reply.json()["code"]) == (400, "INVALID_XET"), reply.text
    assert not any(found.name.startswith(f"{BLOBS}xorb/") for found in hub.store.list(BLOBS))
    assert not list(hub.store.list_staged())


@pytest.mark.parametrize("footer", [b"", b"XETBLOB\0" + bytes(100), header(1000, RAW, 1000, version=1) + CHUNK])
@pytest.mark.parametrize("chunks", [0, 1])
def test_chunks_that_are_not_there(xet: XetWriter, chunks: int, footer: bytes) -> None:
    """A shard may not name more than there are; what comes behind the chunks, as older clients send it, is none."""
    xorb = MadeXorb([CHUNK] * chunks)
    assert xet.post(f"/v1/xorbs/default/{xorb.name}", xorb.data + footer).status_code == 200
    last = xet.register(MadeFile([MadeSegment(xorb, 0, chunks + 1, nbytes=1000 * chunks + 1000)]))
    assert last["type"] == "error"
    assert f"which has {chunks}" in last["message"]
    if chunks:
        assert xet.register(MadeFile([MadeSegment(xorb, 0, chunks)])) == {"type": "result"}


@pytest.mark.parametrize(
    "shard",
    [
        b"",
        bytes(100),
        MadeShard([], tag=b"x" * 32).data,
        MadeShard([], version=3).data,
        MadeShard([], end=b"").data,
        MadeShard([whole_file(CHUNK)], end=b"").data,
        MadeShard([MadeFile(whole_file(CHUNK).segments, count=0xFFFFFFFF)]).data,
        MadeShard([MadeFile(whole_file(CHUNK).segments, count=1000)]).data,
        MadeShard([MadeFile(whole_file(CHUNK).segments, flags=WITH_METADATA)]).data,
        MadeShard([MadeFile(whole_file(CHUNK).segments, flags=0)]).data,
        MadeShard([MadeFile([MadeSegment(MadeXorb([CHUNK]), 0, 0)])]).data,
        MadeShard([MadeFile([MadeSegment(MadeXorb([CHUNK]), 0, 1 << 30, nbytes=5)])]).data,
        MadeShard([MadeFile([MadeSegment(MadeXorb([CHUNK]), 5, 4, nbytes=5)])]).data,
        MadeShard([altered(whole_file(CHUNK), nbytes=1 << 31)]).data,
        *[MadeShard([whole_file(CHUNK)]).data[:length] for length in range(0, 240, 31)],
    ],
    ids=lambda shard: f"{len(shard)}-{hf_digest(shard)[:8]}",
)
def test_malformed_shards(xet: XetWriter, shard: bytes) -> None:
    """400 with a sentence; no count is believed before so much is there."""
    reply = xet.post("/v1/shards", shard)
    assert (reply.status_code, reply.json()["code"]) == (400, "INVALID_XET"), reply.text
    last = json.loads(xet.post("/v2/shards", shard).text.splitlines()[-1])
    assert (last["type"], last["retryable"]) == ("error", False)


def test_every_flipped_bit_of_a_shard(xet: XetWriter) -> None:
    """Is refused, or was of no meaning: never another file."""
    file = whole_file(CHUNK)
    xet.send(file.segments[0].xorb)
    shard = MadeShard([file]).data
    for bit in random.Random(5).sample(range(8 * len(shard)), 150):
        flipped = bytearray(shard)
        flipped[bit // 8] ^= 1 << bit % 8
        reply = xet.post("/v1/shards", bytes(flipped))
        assert reply.status_code in {200, 400, 413, 422, 507}, reply.text
    assert xet.register(file) == {"type": "result"}
    assert xet.user.commit("admin/m", lfs_line("x.bin", CHUNK)).status_code == 200
    assert xet.user.get("/admin/m/resolve/main/x.bin").content == CHUNK


def test_bodies_without_end(xet: XetWriter) -> None:
    """A xorb must say how long it is, and not be longer than xorbs are."""

    def endless() -> Iterable[bytes]:
        yield b"x"

    headers = {"Authorization": f"Bearer {xet.token}"}
    name = f"{xet.path}/v1/xorbs/default/{'c' * 64}"
    assert xet.user.http.post(name, content=endless(), headers=headers).status_code == 400
    announced = {**headers, "Content-Length": str(1 << 30)}
    assert xet.user.http.post(name, content=b"x", headers=announced).status_code == 413


def test_quotas_hold(xet: XetWriter, client: Any) -> None:
    """A file that the namespace has no room for is refused before it is put together."""
    limit = client.request("PATCH", "/namespaces/admin/quota", json={"logical_nbytes": 1000})
    assert limit.status_code == 200, limit.text
    file = whole_file(CONTENT)
    xet.send(file.segments[0].xorb)
    last = xet.register(file)
    assert last["type"] == "error"
    assert "logical bytes" in last["message"]


def test_xorbs_go_when_clients_have_forgotten_them(xet: XetWriter, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """After their epoch and some time; the file stays. In a new epoch the address is another one."""
    file = whole_file(CONTENT)
    assert xet.push(file).status_code == 200
    collect(hub, least_grace_s=0)
    assert any(found.name.startswith(f"{BLOBS}xorb/") for found in hub.store.list(BLOBS))
    assert xet.register(file) == {"type": "result"}
    with hub.db.transaction() as session:
        session.execute(update(Xorb).values(expires_at=now()))
    assert xet.register(whole_file(CONTENT[1:]))["type"] == "error"
    would = survey(hub, least_grace_s=0)
    assert (would.xorbs, would.nbytes >= len(file.segments[0].xorb.data)) == (1, True)
    assert collect(hub, least_grace_s=0).xorbs == 1
    assert not any(found.name.startswith(f"{BLOBS}xorb/") for found in hub.store.list(BLOBS))
    assert xet.user.get("/admin/m/resolve/main/model.bin").content == CONTENT
    monkeypatch.setattr(epochs.time, "time", lambda: 4e9)
    assert XetWriter(xet.user, "admin/m").path != xet.path


def test_xorbs_and_inline_files_in_one_commit(xet: XetWriter) -> None:
    """As `hf upload` makes them."""
    file = whole_file(CONTENT)
    xet.send(file.segments[0].xorb)
    assert xet.register(file) == {"type": "result"}
    assert xet.user.commit("admin/m", lfs_line("a.bin", CONTENT), file_line("b.txt", b"b")).status_code == 200
