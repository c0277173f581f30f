"""Files in a symmetric form as their readers get them: the plain bytes, by every way that there is."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hf_client import HfClient
from inline_encoder import InlineEncoder
from variant_asking import METHOD, SOURCE, ask, run_variant
from xet_client import ELSEWHERE, HERE, XetReader, fetch_of

from freebits_codecs import MEDIA_TYPE, SYMMETRIC_MEDIA_TYPE, BytesSource
from freebits_codecs.symmetry import expand
from freebits_service.blobs.queries import find_blob
from freebits_service.context import Hub
from freebits_service.expansions import operations as expansions
from freebits_service.scratch import Scratch
from freebits_service.workers.encoder import EncoderProcess
from freebits_service.workers.variant import VariantSteps

PATH = "model.safetensors"
pytestmark = pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)


@pytest.fixture
def make_filled(make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any]) -> Callable[..., tuple[Hub, Any, str]]:
    """A hub with a variant that nobody has read."""

    def make(*methods: str, **changes: Any) -> tuple[Hub, Any, str]:
        hub = make_hub(**changes)
        client = make_client(hub)
        repo = client.new_repo()
        client.push(repo, SOURCE)
        for method in methods or [METHOD]:
            ask(client, repo, method)
            run_variant(VariantSteps(hub, InlineEncoder(hub.settings), "w1", Scratch(hub.settings, "w1")))
        return hub, client, repo

    return make


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were expanded."""
    written: list[str] = []
    real = expansions.WriteFile

    def write(content: Any, *arguments: Any) -> Any:
        written.append(content.sha256)
        return real(content, *arguments)

    monkeypatch.setattr(expansions, "WriteFile", write)
    return written


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expand in this process: what the test is about is not the child, which takes a second to start."""
    monkeypatch.setattr(expansions, "EncoderProcess", InlineEncoder)


def expanded(hub: Hub) -> list[str]:
    """What is kept expanded."""
    return sorted(path.name for path in (hub.settings.data / "expanded").iterdir())


def test_it_is_a_file_like_any_other(make_filled: Callable[..., Any], counted: list[str]) -> None:
    """Whole, ranges, HEAD, ETag, containers on request; expanded once for all of that, HEAD needs not even that."""
    hub, client, repo = make_filled()
    head = client.resolve(repo, PATH, METHOD, "HEAD")
    assert (head.status_code, counted) == (200, [])
    nbytes, etag = int(head.headers["content-length"]), head.headers["etag"]
    whole = client.resolve(repo, PATH, METHOD)
    sha256 = hashlib.sha256(whole.content).hexdigest()
    assert (len(whole.content), etag, whole.headers["etag"]) == (nbytes, f'"{sha256}"', f'"{sha256}"')
    assert whole.headers["x-freebits-state"] == "encoded"
    assert int(whole.headers["x-freebits-stored-nbytes"]) < nbytes
    for asked, expected in (
        ("bytes=0-0", whole.content[:1]),
        ("bytes=1000-99999", whole.content[1000:100_000]),
        ("bytes=-7", whole.content[-7:]),
        ("bytes=500000-", whole.content[500_000:]),
    ):
        part = client.resolve(repo, PATH, METHOD, headers={"Range": asked})
        assert (part.status_code, part.content) == (206, expected)
    assert client.resolve(repo, PATH, METHOD, headers={"Range": f"bytes={nbytes}-"}).status_code == 416
    assert client.resolve(repo, PATH, METHOD, headers={"If-None-Match": etag}).status_code == 304
    container = client.resolve(repo, PATH, METHOD, headers={"Accept": MEDIA_TYPE})
    assert (container.headers["content-type"], container.headers["etag"]) == ("application/octet-stream", etag)
    assert container.content == whole.content
    assert counted == [sha256]
    assert expanded(hub) == [sha256]


@pytest.mark.usefixtures("inline")
def test_hugging_face_clients_get_it(make_filled: Callable[..., Any]) -> None:
    """By plain HTTP and by Xet, whole and in ranges; what Xet sends is made of the plain bytes."""
    _, client, repo = make_filled(xet_downloads_from_nbytes=1)
    whole = client.resolve(repo, PATH, METHOD).content
    hf = HfClient(client.http, client.token)
    plain = hf.get(f"/{repo}/resolve/{METHOD}/{PATH}")
    assert (plain.content, plain.headers["x-xet-hash"]) == (whole, hashlib.sha256(whole).hexdigest())
    sha256 = hashlib.sha256(whole).hexdigest()
    for origin in (HERE, ELSEWHERE):
        reader = XetReader(hf, repo, METHOD, origin=origin)
        for version in (1, 2):
            assert reader.read(sha256, version=version) == whole
            assert reader.read(sha256, 100, 1000, version=version) == whole[100:1000]
    address = fetch_of(body := XetReader(hf, repo, METHOD).ask(sha256).json(), body["terms"][0]).url
    assert hf.http.get(address, headers={"Range": "bytes=8-107"}).content == whole[:100]


def test_many_readers_of_a_cold_file(make_filled: Callable[..., Any], counted: list[str]) -> None:
    """It is expanded once; all get all of it, and others are answered meanwhile."""
    _, client, repo = make_filled()
    with ThreadPoolExecutor(64) as pool:
        waiting = [pool.submit(client.resolve, repo, PATH, METHOD) for _ in range(200)]
        assert client.resolve(repo, "config.json").content == b"{}"
        replies = [each.result() for each in waiting]
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.content for reply in replies}) == 1
    assert len(counted) == 1


def test_a_long_expansion_is_waited_for_behind_the_headers(
    make_filled: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a file is that comes from the upstream: clients give up a silent connection, so the answer begins."""
    monkeypatch.setattr("freebits_service.downloads.arriving.FIRST_BYTES_S", 0.01)
    _, client, repo = make_filled()
    with client.http.stream("GET", f"/api/v1/repos/{repo}/resolve/{METHOD}/{PATH}") as reply:
        assert reply.status_code == 200
        content = reply.read()
    assert hashlib.sha256(content).hexdigest() == reply.headers["x-freebits-sha256"]


@pytest.mark.usefixtures("inline")
def test_nobody_is_sent_to_the_bucket_for_it(make_filled: Callable[..., Any], s3_place: dict[str, Any]) -> None:
    """What lies there is not the file: the hub answers itself, whoever asks for what."""
    _, client, repo = make_filled(**s3_place)
    whole = client.resolve(repo, PATH, METHOD, follow_redirects=False)
    assert hashlib.sha256(whole.content).hexdigest() == whole.headers["x-freebits-sha256"]
    container = client.resolve(repo, PATH, METHOD, headers={"Accept": MEDIA_TYPE}, follow_redirects=False)
    assert (container.status_code, container.content) == (200, whole.content)
    assert client.resolve(repo, "config.json", follow_redirects=False).status_code == 307


@pytest.mark.usefixtures("inline")
def test_the_folder_is_bounded(make_filled: Callable[..., Any], counted: list[str]) -> None:
    """Who was read longest ago goes; a file that is open stays readable; one file is always kept."""
    methods = (METHOD, "gauge-polar", "bits-back")
    hub, client, repo = make_filled(*methods, expanded_nbytes=1_100_000)
    digests = {method: client.resolve(repo, PATH, method, "HEAD").headers["x-freebits-sha256"] for method in methods}
    order = (METHOD, "gauge-polar", METHOD, "bits-back")
    for method in order:
        assert client.resolve(repo, PATH, method).status_code == 200
    assert expanded(hub) == sorted([digests[METHOD], digests["bits-back"]])
    assert len(counted) == 3
    client.resolve(repo, PATH, "gauge-polar")
    assert expanded(hub) == sorted([digests["gauge-polar"], digests["bits-back"]])


@pytest.mark.usefixtures("inline")
def test_a_file_that_is_read_outlives_its_eviction(make_filled: Callable[..., Any]) -> None:
    """Its reader has it open; a limit of nothing keeps one file."""
    hub, client, repo = make_filled(METHOD, "gauge-polar", expanded_nbytes=0)
    files = client.http.app.state.expansions._files
    client.resolve(repo, PATH, METHOD)
    [name] = expanded(hub)
    reader = files.open(name)
    client.resolve(repo, PATH, "gauge-polar")
    assert name not in expanded(hub)
    assert len(expanded(hub)) == 1
    assert hashlib.sha256(reader.read_at(0, reader.nbytes)).hexdigest() == name
    reader.close()
    assert files.open(name) is None


@pytest.mark.usefixtures("inline")
def test_a_copy_that_rots_is_made_again(make_filled: Callable[..., Any], counted: list[str]) -> None:
    """While that can be done without the reader noticing; and also when somebody emptied the folder."""
    hub, client, repo = make_filled()
    whole = client.resolve(repo, PATH, METHOD).content
    [name] = expanded(hub)
    copy = hub.settings.data / "expanded" / name
    copy.write_bytes(b"?" + whole[1:])
    assert client.resolve(repo, PATH, METHOD).content == whole
    assert len(counted) == 2
    copy.unlink()
    assert client.resolve(repo, PATH, METHOD).content == whole


@pytest.mark.usefixtures("inline")
def test_a_hub_that_starts_begins_with_an_empty_folder(
    make_filled: Callable[..., Any], make_client: Callable[[Hub], Any]
) -> None:
    """Whatever a killed one left there; the file is the same again."""
    hub, client, repo = make_filled()
    whole = client.resolve(repo, PATH, METHOD).content
    left = hub.settings.data / "expanded" / f"{'0' * 64}.abcd"
    left.write_bytes(b"half a file")
    again = make_client(hub)
    assert expanded(hub) == []
    assert again.resolve(repo, PATH, METHOD).content == whole
    assert client.resolve(repo, PATH, METHOD).content == whole


@pytest.mark.usefixtures("inline")
def test_what_cannot_be_expanded_says_so(make_filled: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Damaged forms, a full disk, a child that dies: an error with a code each time, and then it works again."""
    hub, client, repo = make_filled()
    sha256 = client.resolve(repo, PATH, METHOD, "HEAD").headers["x-freebits-sha256"]
    with hub.db.snapshot() as session:
        blob = find_blob(session, sha256)
    assert blob is not None
    path: Path = hub.settings.objects / (blob.container_key or "")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert client.resolve(repo, PATH, METHOD).json()["code"] == "BLOB_DAMAGED"
    path.unlink()
    assert client.resolve(repo, PATH, METHOD).json()["code"] == "BLOB_DAMAGED"
    path.write_bytes(whole)
    with monkeypatch.context() as patched:
        patched.setattr(client.http.app.state.expansions._files, "_min_free_nbytes", 1 << 60)
        assert client.resolve(repo, PATH, METHOD).json()["code"] == "STORAGE_FULL"
    with monkeypatch.context() as patched:
        patched.setattr(expansions, "EncoderProcess", EncoderProcess)
        patched.setattr(expansions, "WriteFile", Dying)
        assert client.resolve(repo, PATH, METHOD).json()["code"] == "EXPANSION_FAILED"
    assert expanded(hub) == []
    assert client.resolve(repo, PATH, METHOD).status_code == 200


class Dying:
    """A task that nobody survives."""

    def __init__(self, *_: object) -> None:
        """Whatever it is of."""

    def perform(self, _store: object, _tell: object) -> None:
        """As when memory runs out."""
        os.abort()


def test_the_container_is_given_by_its_own_type_only(
    make_filled: Callable[..., tuple[Hub, Any, str]], counted: list[str], inline: None, tmp_path: Path
) -> None:
    """Nobody is made to expand it then; and what it is expanded to is the file."""
    _, client, repo = make_filled()
    own = {"Accept": SYMMETRIC_MEDIA_TYPE}
    answer = client.resolve(repo, PATH, METHOD, headers=own)
    assert (answer.status_code, answer.headers["content-type"]) == (200, SYMMETRIC_MEDIA_TYPE)
    assert answer.headers["etag"].startswith('"fb-')
    assert counted == []
    expanded_to = expand(BytesSource(answer.content), tmp_path / "plain")
    assert expanded_to.sha256 == answer.headers["x-freebits-sha256"]
    part = client.resolve(repo, PATH, METHOD, headers={**own, "Range": "bytes=8-15"})
    assert (part.status_code, part.content) == (206, answer.content[8:16])
    plain = client.resolve(repo, PATH, METHOD, headers={"Accept": MEDIA_TYPE})
    assert plain.headers["content-type"] == "application/octet-stream"
    assert hashlib.sha256(plain.content).hexdigest() == expanded_to.sha256
    unencoded = client.resolve(repo, PATH, "main", headers=own)
    assert unencoded.headers["content-type"] == "application/octet-stream"
