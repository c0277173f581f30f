"""Which files are offered by Xet, at which addresses, and those that are too large for anything else."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hf_client import HfClient
from sqlalchemy import select, update
from xet_client import XetReader, fetch_of

from freebits_service.context import Hub
from freebits_service.models import Blob
from freebits_service.xet.layout import CHUNK_NBYTES

Push = Callable[..., str]
CONTENT = b"".join(number.to_bytes(4, "little") for number in range(900_000))  # 3.6 MB: 28 chunks, 4 windows


def offered(hf: HfClient, repo: str, path: str) -> bool:
    """Whether clients take a file by Xet; HEAD, GET, trees and descriptions of paths say the same."""
    head = hf.request("HEAD", f"/{repo}/resolve/main/{path}")
    part = hf.get(f"/{repo}/resolve/main/{path}", headers={"Range": "bytes=0-0"}, follow_redirects=False)
    assert (head.status_code, part.status_code) in {(200, 206), (200, 307)}
    trees = [hf.get(f"/api/models/{repo}/tree/main?recursive={word}").json() for word in ("true", "false")]
    infos = hf.post(f"/api/models/{repo}/paths-info/main", data={"paths": path, "expand": "true"}).json()
    told = [head.headers.get("x-xet-hash"), part.headers.get("x-xet-hash")]
    told += [entry.get("xetHash") for listing in (*trees, infos) for entry in listing if entry["path"] == path]
    assert len(told) == 5
    sha256 = head.headers["x-linked-etag"].strip('"')
    assert set(told) in ({None}, {sha256}), told
    if told[0] is not None:
        url = head.links["xet-auth"]["url"]
        assert url.startswith("http://")
        assert url.endswith(f"/api/models/{repo}/xet-read-token/{head.headers['x-repo-commit']}")
        assert hf.get(url).status_code == 200
    return told[0] is not None


def test_what_is_offered(
    push: Push, make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any], form: str
) -> None:
    """Files of a size and more, whatever they are stored as; all can be had by plain HTTP."""
    client = make_client(make_hub(xet_downloads_from_nbytes=100_000))
    hf, repo = HfClient(client.http, client.token), client.new_repo("admin/m", "private")
    for nbytes, is_offered in ((99_999, False), (100_000, True), (200_000, True)):
        push(client, CONTENT[:nbytes], form, "model.bin")
        assert offered(hf, repo, "model.bin") == is_offered
        assert hf.get(f"/{repo}/resolve/main/model.bin").content == CONTENT[:nbytes]


def test_addresses_behind_a_proxy(push: Push, make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any]) -> None:
    """All begin with the address that the settings say."""
    public = "https://hub.example.org"
    client = make_client(make_hub(xet_downloads_from_nbytes=1, public_url=public + "/"))
    hf, repo = HfClient(client.http, client.token), client.new_repo("admin/m", "private")
    sha256 = push(client, CONTENT)
    head = hf.request("HEAD", f"/{repo}/resolve/main/model.bin")
    assert head.links["xet-auth"]["url"].startswith(f"{public}/api/models/")
    token = hf.get(f"/api/models/{repo}/xet-read-token/main").json()
    assert token["casUrl"].startswith(f"{public}/xet/")
    body = XetReader(hf, repo).ask(sha256).json()
    assert fetch_of(body, body["terms"][0]).url.startswith(f"{public}/xet/")


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
@pytest.mark.parametrize("redirect_downloads", [True, False])
def test_what_is_offered_on_s3(
    push: Push,
    make_hub: Callable[..., Hub],
    make_client: Callable[[Hub], Any],
    s3_place: dict[str, Any],
    form: str,
    redirect_downloads: bool,
) -> None:
    """Raw files go from the store to clients by plain HTTP; Xet would send them through the hub, and still can."""
    hub = make_hub(
        **s3_place, part_nbytes=5 << 20, redirect_downloads=redirect_downloads, xet_downloads_from_nbytes=100_000
    )
    client = make_client(hub)
    hf, repo = HfClient(client.http, client.token), client.new_repo("admin/m", "private")
    sha256 = push(client, CONTENT, form)
    assert offered(hf, repo, "model.bin") == (form == "encoded" or not redirect_downloads)
    assert XetReader(hf, repo).read(sha256, 77_777, 2_000_000) == CONTENT[77_777:2_000_000]


HUGE, FAR = 51_000_000_000, 50_500_000_123


@pytest.fixture
def huge(push: Push, client: Any, hub: Hub, repo: str) -> str:
    """A file of 51 GB, all zero but for some bytes at FAR: a sparse object, which nobody has hashed; its name."""
    sha256 = push(client, b"zeros")
    with hub.db.transaction() as session:
        key = session.scalars(select(Blob.raw_key).where(Blob.sha256 == sha256)).one()
        session.execute(update(Blob).where(Blob.sha256 == sha256).values(nbytes=HUGE))
    assert key is not None
    path = hub.settings.objects / key
    path.chmod(0o600)
    os.truncate(path, HUGE)
    with path.open("r+b") as file:
        file.seek(FAR)
        file.write(CONTENT[:1000])
    return sha256


def test_a_file_over_50_gb(hf: HfClient, repo: str, huge: str) -> None:
    """It is offered, for clients refuse plain HTTP for it; its terms are an answer of bounded size."""
    assert offered(hf, repo, "model.bin")
    assert hf.request("HEAD", f"/{repo}/resolve/main/model.bin").headers["content-length"] == str(HUGE)
    reader = XetReader(hf, repo)
    assert reader.read(huge, FAR - 2, FAR + 1002) == bytes(2) + CONTENT[:1000] + bytes(2)
    assert reader.read(huge, HUGE - 3, HUGE) == bytes(3)
    page = reader.ask(huge, f"{8 * 10**9}-{16 * 10**9 - 1}")
    assert sum(term["unpacked_length"] for term in page.json()["terms"]) - 8 * 10**9 < 2 * CHUNK_NBYTES
    assert len(page.content) < 400_000
    assert (
        hf.get(f"/{repo}/resolve/main/model.bin", headers={"Range": f"bytes={FAR}-{FAR + 9}"}).content == CONTENT[:10]
    )


def test_reconstructions_are_bounded(hf: HfClient, hub: Hub, repo: str, huge: str) -> None:
    """Who asks for all of 5 TB at once is told to ask in ranges: a shorter answer would mean a shorter file."""
    with hub.db.transaction() as session:
        session.execute(update(Blob).where(Blob.sha256 == huge).values(nbytes=5 * 10**12))
    reader = XetReader(hf, repo)
    for version in (1, 2):
        refused = reader.ask(huge, version=version)
        assert (refused.status_code, refused.json()["code"]) == (413, "TOO_LARGE")
        limit = refused.json()["detail"]["limit"]
        taken = reader.ask(huge, f"77-{77 + limit - 1}", version)
        assert taken.status_code == 200
        assert len(taken.content) < 2 << 20
        assert reader.ask(huge, f"77-{77 + 2 * limit}", version).status_code == 413
