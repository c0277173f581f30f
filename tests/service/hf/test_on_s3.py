"""Uploads of Hugging Face clients on a real S3 server: parts go to the store itself, chunks come through the hub."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hf_client import HfClient, hf_digest, lfs_line
from xet_client import MadeShard, whole_file

from freebits_service.context import Hub

pytestmark = pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
CONTENT = random.Random(4).randbytes(11 << 20)


@pytest.fixture
def hf(make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any], s3_place: dict[str, Any]) -> HfClient:
    """The admin of a hub whose objects are in S3."""
    client = make_client(make_hub(**s3_place, part_nbytes=5 << 20))
    hf = HfClient(client.http, client.token)
    assert hf.create("m", visibility="private").status_code == 200
    return hf


def test_parts_go_to_the_store(hf: HfClient, s3_endpoint: str) -> None:
    """By addresses that are signed for one part each and need no header; the end is told to the hub, which verifies."""
    content = 4 * CONTENT
    [answer] = hf.batch("admin/m", "upload", content, transfers=("basic", "multipart")).json()["objects"]
    upload = answer["actions"]["upload"]
    chunk_nbytes = int(upload["header"].pop("chunk_size"))
    assert len(upload["header"]) == -(-len(content) // chunk_nbytes) == 3
    parts = []
    for number, url in sorted(upload["header"].items()):
        assert urlsplit(url).netloc == urlsplit(s3_endpoint).netloc
        start = (int(number) - 1) * chunk_nbytes
        put = httpx.put(url, content=content[start : start + chunk_nbytes], timeout=60)
        assert put.status_code == 200, put.text
        parts.append({"partNumber": int(number), "etag": put.headers["etag"]})
    done = hf.http.post(upload["href"], json={"oid": hf_digest(content), "parts": parts})
    assert done.status_code == 200, done.text
    assert "verify" not in answer["actions"], "it is done"
    assert hf.commit("admin/m", lfs_line("model.bin", content)).status_code == 200
    told = hf.get("/admin/m/resolve/main/model.bin", follow_redirects=False)
    assert told.status_code == 307
    assert told.headers["x-linked-etag"] == f'"{hf_digest(content)}"'
    assert httpx.get(told.headers["location"], timeout=60).content == content


def test_a_short_object_in_one_piece(hf: HfClient, s3_endpoint: str) -> None:
    """One address of the store, and verification brings the upload to its end; wrong bytes are found by it."""
    short = CONTENT[:100_000]
    for sent, status in ((short[::-1], 422), (short, 200)):
        [answer] = hf.batch("admin/m", "upload", short).json()["objects"]
        href = answer["actions"]["upload"]["href"]
        assert urlsplit(href).netloc == urlsplit(s3_endpoint).netloc
        assert httpx.put(href, content=sent, timeout=60).status_code == 200
        assert hf.post(answer["actions"]["verify"]["href"], json={}).status_code == status
    assert hf.commit("admin/m", lfs_line("short.bin", short)).status_code == 200


@pytest.mark.parametrize("direct", [False, True])
def test_xet_uploads(hf: HfClient, s3_endpoint: str, direct: bool) -> None:
    """Xorbs and the file that is made of them are objects of the bucket; by a grant they go there themselves."""
    file = whole_file(CONTENT)
    token = hf.get("/api/models/admin/m/xet-write-token/main").json()
    path, headers = urlsplit(token["casUrl"]).path, {"Authorization": f"Bearer {token['accessToken']}"}
    xorb = file.segments[0].xorb

    def post(what: str, **options: Any) -> Any:
        return hf.http.post(f"{path}/v1/{what}", headers=headers, **options)

    if direct:
        wanted = {"length": len(xorb.data), "checksum": {"algo": "crc64nvme", "value": "1"}}
        grant = post(f"xorb-grants/default/{xorb.name}", json=wanted)
        assert grant.status_code == 201, grant.text
        address = grant.json()
        assert urlsplit(address["url"]).netloc == urlsplit(s3_endpoint).netloc
        commit = f"xorb-commits/default/{xorb.name}/grant/{address['id']}"
        assert post(commit).status_code == 404
        assert post(f"xorb-commits/default/{'e' * 64}/grant/{address['id']}").status_code == 404
        assert httpx.put(address["url"], content=xorb.data, timeout=60).status_code == 200
        assert [post(commit).status_code for _ in range(2)] == [200, 200]
        assert post(f"xorb-grants/default/{xorb.name}", json=wanted).status_code == 200
        too_long = post(f"xorb-grants/default/{'e' * 64}", json={"length": 1 << 30})
        assert too_long.status_code == 413
    else:
        assert post(f"xorbs/default/{xorb.name}", content=xorb.data).status_code == 200
    shard = hf.http.post(f"{path}/v1/shards", content=MadeShard([file]).data, headers=headers)
    assert (shard.status_code, shard.json()) == (200, {"result": 1})
    assert hf.commit("admin/m", lfs_line("model.bin", CONTENT)).status_code == 200
    told = hf.get("/admin/m/resolve/main/model.bin", follow_redirects=False)
    assert httpx.get(told.headers["location"], timeout=60).content == CONTENT
