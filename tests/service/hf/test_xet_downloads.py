"""Downloads by Xet: xorbs that nobody stored, made of the file while they are sent, and only for who may read it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hf_client import HfClient
from xet_client import ELSEWHERE, HERE, XetReader, fetch_of, unpacked_chunks

from freebits_service.collection.operations import collect
from freebits_service.context import Hub
from freebits_service.models import Blob
from freebits_service.xet import download_endpoints
from freebits_service.xet.layout import CHUNK_NBYTES, FRAME_NBYTES, XORB_NBYTES

Push = Callable[..., str]
# What of this depends on the database is in test_xet_access.py.
pytestmark = pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
CONTENT = b"".join(number.to_bytes(4, "little") for number in range(900_000))  # 3.6 MB: 28 chunks, 4 windows
BORDERS = [1, 7, CHUNK_NBYTES - 1, CHUNK_NBYTES, CHUNK_NBYTES + 1, 9 * CHUNK_NBYTES, len(CONTENT)]


@pytest.mark.parametrize("origin", [HERE, ELSEWHERE], ids=["here", "elsewhere"])
def test_files_of_border_sizes(push: Push, client: Any, hf: HfClient, repo: str, form: str, origin: str) -> None:
    """Whole, and ranges around the borders of chunks, by both versions of the protocol, as it is and packed."""
    for nbytes in BORDERS:
        content = CONTENT[:nbytes]
        sha256 = push(client, content, form, f"{nbytes}.bin")
        reader = XetReader(hf, repo, origin=origin)
        for version in (1, 2):
            assert reader.read(sha256, version=version) == content
        edges = {edge + by for edge in (0, CHUNK_NBYTES, 8 * CHUNK_NBYTES, nbytes) for by in (-1, 0, 1)}
        for start in sorted(edge for edge in edges if 0 <= edge < nbytes):
            for stop in sorted(edge for edge in edges if start < edge):
                assert reader.read(sha256, start, stop) == content[start:stop], (nbytes, start, stop)


@pytest.mark.parametrize("origin", [HERE, ELSEWHERE], ids=["here", "elsewhere"])
def test_files_of_several_xorbs(
    push: Push, make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any], form: str, origin: str
) -> None:
    """One byte less than a xorb, a xorb, one byte more; ranges that cross from one to the next."""
    client = make_client(make_hub(part_nbytes=32 << 20))
    repo = client.new_repo("admin/m", "private")
    whole = random.Random(5).randbytes(1 << 20) * 65
    for nbytes in (XORB_NBYTES - 1, XORB_NBYTES, XORB_NBYTES + 1):
        content = whole[: nbytes - 8] + nbytes.to_bytes(8, "little")
        sha256 = push(client, content, form, f"{nbytes}.bin")
        reader = XetReader(HfClient(client.http, client.token), repo, origin=origin)
        assert reader.read(sha256) == content
        assert len(reader.ask(sha256).json()["terms"]) == (2 if nbytes > XORB_NBYTES else 1)
        for start, stop in ((XORB_NBYTES - 3, nbytes), (nbytes - 1, nbytes), (XORB_NBYTES - 200_000, XORB_NBYTES + 9)):
            assert reader.read(sha256, start, stop, version=1) == content[start:stop]


def test_paths_of_older_clients(push: Push, client: Any, hf: HfClient, repo: str) -> None:
    """hf-xet up to 1.2 asks for the first version of an answer at paths without a version."""
    sha256 = push(client, CONTENT)
    reader = XetReader(hf, repo)
    expected = reader.ask(sha256, version=1).json()["terms"]
    headers = {"Authorization": f"Bearer {reader.token}"}
    for path in ("reconstruction", "reconstructions"):
        body = hf.http.get(f"{reader.path}/{path}/{sha256}", headers=headers).json()
        assert body["terms"] == expected
        assert unpacked_chunks(reader.fetch(fetch_of(body, expected[0]).url).content)[0] == CONTENT[:CHUNK_NBYTES]
        assert hf.http.get(f"{reader.path}/{path}/{sha256}").status_code == 401


def test_any_range_of_a_xorb(push: Push, client: Any, hf: HfClient, repo: str, form: str) -> None:
    """It is a slice of the whole, also where it begins or ends inside of a header or of a chunk."""
    sha256 = push(client, CONTENT, form)
    reader = XetReader(hf, repo)
    body = reader.ask(sha256).json()
    [term] = body["terms"]
    url = fetch_of(body, term).url
    reply = reader.fetch(url)
    xorb = reply.content
    assert (reply.status_code, reply.headers["content-length"]) == (200, str(len(xorb)))
    assert b"".join(unpacked_chunks(xorb)) == CONTENT
    random_of = random.Random(6)
    edges = [chunk * FRAME_NBYTES + by for chunk in (0, 1, 7, 8, 9, 27) for by in (-1, 0, 1, 7, 8, 9)]
    edges += [random_of.randrange(len(xorb)) for _ in range(20)] + [len(xorb) - 1]
    for _ in range(60):
        first, last = sorted(max(0, edge) for edge in random_of.sample(edges, 2))
        if random_of.random() < 0.3:
            last = min(first + random_of.randrange(9), len(xorb) - 1)
        part = reader.fetch(url, f"{first}-{last}")
        assert part.status_code == 206
        assert part.headers["content-range"] == f"bytes {first}-{last}/{len(xorb)}"
        assert part.content == xorb[first : last + 1], (first, last)
    assert reader.fetch(url, "-5").content == xorb[-5:]


def test_packed_chunks(push: Push, make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any], form: str) -> None:
    """Who asks from another machine gets fewer bytes, and is not told before how many; 404 where there are no such."""
    client = make_client(make_hub())
    sha256 = push(client, CONTENT, form, repo=client.new_repo("admin/m", "private"))
    reader = XetReader(HfClient(client.http, client.token), "admin/m", origin=ELSEWHERE)
    url = fetch_of(body := reader.ask(sha256).json(), body["terms"][0]).url
    for span in (None, "0-99", "-5", f"{1 << 40}-{1 << 41}"):
        reply = reader.fetch(url, span)
        assert (reply.status_code, reply.headers["accept-ranges"]) == (200, "none")
        assert not {"content-length", "content-range"} & set(reply.headers)
        assert b"".join(unpacked_chunks(reply.content)) == CONTENT
        assert len(reply.content) < len(CONTENT) * 0.9
    for chunks in ("0-0", "1-1", "2-1", "0-29", "28-29", f"0-{1 << 80}"):
        assert reader.fetch(url.replace("/chunks/0-28", f"/chunks/{chunks}")).status_code == 404
    assert unpacked_chunks(reader.fetch(url.replace("/chunks/0-28", "/chunks/7-9")).content) == [
        CONTENT[start * CHUNK_NBYTES :][:CHUNK_NBYTES] for start in (7, 8)
    ]
    assert reader.fetch(url.partition("?")[0]).status_code == 422
    assert reader.fetch(url + "x").status_code == 403


def test_nothing_is_packed_where_that_is_set(
    push: Push, make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any]
) -> None:
    """No core is to be used for it: everybody is sent to the xorbs as they are."""
    client = make_client(make_hub(xet_packing_percent=0))
    sha256 = push(client, CONTENT, repo=client.new_repo("admin/m", "private"))
    reader = XetReader(HfClient(client.http, client.token), "admin/m", origin=ELSEWHERE)
    url = fetch_of(body := reader.ask(sha256).json(), body["terms"][0]).url
    assert "/chunks/" not in url
    assert len(reader.fetch(url).content) == len(CONTENT) + 8 * 28
    before_a_restart = url.replace("/xorbs/0", "/xorbs/0/chunks/0-28")  # with another setting
    assert reader.fetch(before_a_restart).content == reader.fetch(url).content


def test_a_swap_between_look_and_open(
    push: Push,
    client: Any,
    hf: HfClient,
    hub: Hub,
    repo: str,
    encode_all: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker swaps and the collector collects while somebody is about to open the raw object: the same bytes."""
    sha256 = push(client, CONTENT)
    reader = XetReader(hf, repo)
    url = fetch_of(body := reader.ask(sha256).json(), body["terms"][0]).url
    before = reader.fetch(url, "100-3000000").content
    real, seen = download_endpoints.find_held, []

    def found_too_early(*arguments: Any) -> Blob:
        blob = real(*arguments)
        seen.append(blob)
        if len(seen) == 1:
            encode_all()
            collect(hub, least_grace_s=0)
        return blob

    monkeypatch.setattr(download_endpoints, "find_held", found_too_early)
    assert reader.fetch(url, "100-3000000").content == before
    assert [blob.container_key is None for blob in seen] == [True, False]
    hub.store.delete(seen[1].container_key)
    lost = reader.fetch(url)
    assert (lost.status_code, lost.json()["code"]) == (500, "BLOB_DAMAGED")


def test_outside_of_files_and_xorbs(push: Push, client: Any, hf: HfClient, repo: str) -> None:
    """416 behind the end, which is how clients find it; 404 for xorbs that a file does not have."""
    sha256 = push(client, CONTENT)
    reader = XetReader(hf, repo)
    for version in (1, 2):
        assert reader.ask(sha256, f"{len(CONTENT)}-{len(CONTENT) + 9}", version).status_code == 416
        assert reader.ask(sha256, f"{1 << 40}-{1 << 41}", version).headers["content-range"] == f"bytes */{len(CONTENT)}"
        last = reader.ask(sha256, f"{len(CONTENT) - 1}-{(1 << 64) - 2}", version)
        assert last.status_code == 200
    url = fetch_of(body := reader.ask(sha256).json(), body["terms"][0]).url
    assert reader.fetch(url, f"{1 << 30}-{1 << 31}").status_code == 416
    for number in ("1", "-1", "99999999999999999999"):
        assert reader.fetch(url.replace("/xorbs/0?", f"/xorbs/{number}?")).status_code == 404


def test_an_empty_file(push: Push, client: Any, hf: HfClient, repo: str) -> None:
    """It has no terms, no byte and no xorb."""
    sha256 = push(client, b"")
    reader = XetReader(hf, repo)
    assert reader.read(sha256) == b""
    assert reader.ask(sha256).json() == {"offset_into_first_range": 0, "terms": [], "xorbs": {}}
    assert reader.ask(sha256, "0-0").status_code == 416


def test_xorbs_have_names_of_their_own(push: Push, client: Any, hf: HfClient, repo: str) -> None:
    """The same each time, for clients may keep chunks by them, and others for other content."""
    names = []
    for content in (CONTENT, CONTENT[:-1], CONTENT):
        sha256 = push(client, content, path=f"{len(names)}.bin")
        names.append(XetReader(hf, repo).ask(sha256).json()["terms"][0]["hash"])
    assert names[0] == names[2] != names[1]
