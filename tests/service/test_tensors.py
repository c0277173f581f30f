"""The tensor index: filled while an encoding is verified, asked by file and by digest."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from safetensors.numpy import save
from sqlalchemy import select, update

from freebits_codecs import encode
from freebits_codecs.formats import Tensor as Extent
from freebits_codecs.formats import read_layout
from freebits_service.collection.operations import collect
from freebits_service.context import Hub
from freebits_service.models import Blob, Tensor, Upload
from freebits_service.tensors.digests import MAX_OVERLAP, TensorDigest, TensorHasher

RNG = np.random.default_rng(5)
CHECKPOINTS = sorted(path for path in (Path(__file__).parents[1] / "data").rglob("*") if path.is_file())


def weights(*shape: int) -> Any:
    """Numbers that compress a little, as weights do."""
    return RNG.normal(0, 0.02, shape).astype(np.float32)


SHARED = weights(300, 400)
FIRST = save({"shared": SHARED, "own": weights(500, 500), "empty": weights(0, 4), "scalar": weights()})
SECOND = save({"other name": SHARED, "flat": SHARED.reshape(-1), "b": weights(1000)})


def test_an_encoded_file_lists_its_tensors(client: Any, encode_all: Callable[[], None]) -> None:
    """In the order of its directory, with the digests of the bytes that are in the file."""
    repo = client.new_repo()
    client.push(repo, {"m.safetensors": FIRST})
    before = client.get(f"/repos/{repo}/tensors/main/m.safetensors").json()
    assert (before["indexed"], before["items"], before["next"]) == (False, [], None)
    encode_all()
    listed = client.get(f"/repos/{repo}/tensors/main/m.safetensors").json()
    assert listed["indexed"]
    for tensor in listed["items"]:
        content = FIRST[tensor["start"] : tensor["start"] + tensor["nbytes"]]
        assert tensor["digest"] == blake3(content).hexdigest(), tensor["name"]
    by_name = {tensor["name"]: tensor for tensor in listed["items"]}
    assert by_name["shared"]["shape"] == [300, 400]
    assert by_name["shared"]["digest"] == blake3(SHARED.tobytes()).hexdigest()
    assert (by_name["empty"]["nbytes"], by_name["scalar"]["shape"]) == (0, [])
    assert [tensor["number"] for tensor in listed["items"]] == [0, 1, 2, 3]


def test_the_list_is_paged_by_number(client: Any, encode_all: Callable[[], None]) -> None:
    """Page after page gives what one page gives."""
    repo = client.new_repo()
    client.push(repo, {"m": FIRST})
    encode_all()
    path = f"/repos/{repo}/tensors/main/m"
    names, after = [], None
    while True:
        page = client.get(path, params={"limit": 1, **({} if after is None else {"after": after})}).json()
        names += [tensor["name"] for tensor in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert names == [tensor["name"] for tensor in client.get(path).json()["items"]]


def test_a_container_that_a_client_sent_is_indexed_too(client: Any) -> None:
    """The hub decodes it anyway when it is completed."""
    repo = client.new_repo()
    client.upload(repo, FIRST, stored=encode(FIRST, sha256=True))
    client.commit(repo, {"m": FIRST})
    listed = client.get(f"/repos/{repo}/tensors/main/m").json()
    assert listed["indexed"]
    assert {tensor["name"] for tensor in listed["items"]} == {"shared", "own", "empty", "scalar"}


def test_who_shares_a_tensor(client: Any, encode_all: Callable[[], None]) -> None:
    """All files of repos that the caller may read, under any name and shape, page by page; no private ones."""
    owner, other = client.new_user("owner"), client.new_user("other")
    owner.push(owner.new_repo("owner/open"), {"a/first": FIRST})
    owner.push(owner.new_repo("owner/secret", "private"), {"second": SECOND})
    encode_all()
    digest = blake3(SHARED.tobytes()).hexdigest()

    def places(who: Any, limit: int) -> list[tuple[str, str, str]]:
        found, after = [], None
        while True:
            page = who.get(f"/tensors/{digest}", params={"limit": limit, **({"after": after} if after else {})}).json()
            found += [(item["repo"], item["path"], item["name"]) for item in page["items"]]
            after = page["next"]
            if after is None:
                return found

    opened = [("owner/open", "a/first", "shared")]
    secret = [("owner/secret", "second", "flat"), ("owner/secret", "second", "other name")]
    for limit in (1, 100):
        assert places(other, limit) == opened
        assert places(client.as_user(None), limit) == opened
        assert sorted(places(owner, limit)) == opened + secret
        assert sorted(places(client, limit)) == opened + secret
    assert client.get("/tensors/xyz").status_code == 422
    assert client.get(f"/tensors/{digest}", params={"after": "x"}).status_code == 422
    assert other.get("/repos/owner/secret/tensors/main/second").status_code == 404
    owner.request("DELETE", "/repos/owner/open")
    assert places(other, 100) == []


def test_tensors_go_with_their_blob(hub: Hub, client: Any, encode_all: Callable[[], None]) -> None:
    """When the collector lets go of it."""
    repo = client.new_repo()
    client.push(repo, {"m": FIRST})
    encode_all()
    client.request("DELETE", f"/repos/{repo}")
    with hub.db.transaction() as session:
        session.execute(update(Upload).values(expires_at=Upload.created_at))
        session.execute(update(Blob).values(look_at=Blob.created_at))
    assert collect(hub, least_grace_s=0).blobs == 1
    with hub.db.snapshot() as session:
        assert session.scalars(select(Tensor)).all() == []


def hashed(extents: Sequence[Extent], content: bytes, piece_nbytes: int) -> list[TensorDigest]:
    """Digests of tensors, the content cut into pieces."""
    hasher = TensorHasher(extents, len(content))
    found: list[TensorDigest] = []
    for start in range(0, len(content), piece_nbytes):
        found += hasher.update(memoryview(content)[start : start + piece_nbytes])
    found += hasher.rest()
    return sorted(found, key=lambda tensor: tensor.number)


@pytest.mark.parametrize("path", CHECKPOINTS, ids=lambda path: path.name)
def test_every_format_whose_extents_are_known(path: Path) -> None:
    """Whatever the size of the pieces, each tensor has the digest of its bytes."""
    content = path.read_bytes()
    layout = read_layout(io.BytesIO(content))
    tensors = layout.tensors if layout else ()
    for piece_nbytes in (977, 1 << 20):
        found = hashed(tensors, content, piece_nbytes)
        assert [tensor.number for tensor in found] == list(range(len(tensors)))
        for tensor, extent in zip(found, tensors, strict=True):
            assert tensor.digest == blake3(content[extent.start : extent.stop]).hexdigest(), tensor.name


def test_overlapping_tensors() -> None:
    """Tied weights and views, tensors inside of others, and one byte before the end."""
    content = RNG.bytes(10_000)
    spans = [(0, 10_000), (0, 10_000), (10, 20), (15, 9_999), (9_999, 10_000), (10_000, 10_000), (0, 0), (10, 20)]
    extents = [Extent(f"t{i}", "U8", (stop - start,), start, stop) for i, (start, stop) in enumerate(spans)]
    for piece_nbytes in (7, 1000, 20_000):
        found = hashed(extents, content, piece_nbytes)
        assert [tensor.digest for tensor in found] == [blake3(content[start:stop]).hexdigest() for start, stop in spans]


def test_a_hostile_directory_does_not_multiply_the_work() -> None:
    """Thousands of different tensors over the same bytes: as many are hashed as a few times the file allows."""
    content = bytes(100_000)
    extents = [Extent(f"t{i}", "U8", (len(content) - i,), i, len(content)) for i in range(5000)]
    assert 0 < len(hashed(extents, content, 1 << 20)) <= MAX_OVERLAP + 1
