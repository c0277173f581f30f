"""Who may download by Xet: whoever may read a repo that holds the file, while that is so, and nobody by a digest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hf_client import HfClient, hf_digest
from xet_client import XetReader, fetch_of, unpacked_chunks

from freebits_service.xet.layout import CHUNK_NBYTES

Push = Callable[..., str]
CONTENT = b"".join(number.to_bytes(4, "little") for number in range(900_000))  # 3.6 MB: 28 chunks, 4 windows


@pytest.fixture
def thief(client: Any, new_user: Callable[[str], HfClient]) -> XetReader:
    """Somebody else, with a repo of their own."""
    user = new_user("thief")
    assert user.create("own").status_code == 200
    return XetReader(user, "thief/own")


def test_a_digest_is_no_right_to_download(push: Push, client: Any, hf: HfClient, repo: str, thief: XetReader) -> None:
    """Not with a token for another repo, not with an address of another file, not by a repo one may not read."""
    sha256 = push(client, CONTENT)
    own = client.as_user(thief.user.token)
    mine = push(own, CONTENT[::-1], repo="thief/own")
    url = fetch_of(body := thief.ask(mine).json(), body["terms"][0]).url
    for version in (1, 2):
        assert thief.ask(sha256, version=version).status_code == 404
        assert thief.ask("0" * 64, version=version).status_code == 404
    assert thief.fetch(url.replace(mine, sha256)).status_code == 404
    for revision in ("main", "absent", "0" * 40):
        for user in (thief.user, HfClient(hf.http, None)):
            assert user.get(f"/api/models/{repo}/xet-read-token/{revision}").status_code == 404
    assert hf.get(f"/api/models/{repo}/xet-read-token/absent").headers["x-error-code"] == "RevisionNotFound"
    assert hf.get(f"/api/datasets/{repo}/xet-read-token/main").status_code == 404
    assert unpacked_chunks(thief.fetch(url).content)[0] == CONTENT[::-1][:CHUNK_NBYTES]


def test_tokens_are_for_one_purpose(push: Push, client: Any, hf: HfClient, repo: str) -> None:
    """Who may write may not read by that token, and the other way round; the user's token opens neither."""
    sha256 = push(client, CONTENT)
    reader = XetReader(hf, repo)
    url = fetch_of(body := reader.ask(sha256).json(), body["terms"][0]).url
    address, _, grant = url.partition("?grant=")
    write = hf.get(f"/api/models/{repo}/xet-write-token/main").json()["accessToken"]
    for wrong in (write, grant, hf.token, "", "a.b.c"):
        headers = {"Authorization": f"Bearer {wrong}"}
        assert hf.http.get(f"{reader.path}/v2/reconstructions/{sha256}", headers=headers).status_code == 401
    for wrong in (write, reader.token, hf.token, "", "a.b.c"):
        assert hf.http.get(f"{address}?grant={wrong}").status_code == 403
    assert hf.http.get(address).status_code == 422
    headers = {"Authorization": f"Bearer {reader.token}"}
    assert hf.http.post(f"{reader.path}/v2/shards", content=b"x", headers=headers).status_code == 401
    assert hf.http.post(f"{reader.path}/v1/xorbs/default/{'a' * 64}", content=b"x", headers=headers).status_code == 401


def test_what_ends_a_grant(push: Push, client: Any, hf: HfClient, repo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time; an address that has expired is refused as stores do it, so that clients ask for another one."""
    sha256 = push(client, CONTENT)
    reader = XetReader(hf, repo)
    url = fetch_of(body := reader.ask(sha256).json(), body["terms"][0]).url
    assert reader.fetch(url).status_code == 200
    clock = 10_000.0
    real = __import__("time").time
    monkeypatch.setattr("freebits_service.accounts.grants.time.time", lambda: real() + clock)
    assert reader.fetch(url).status_code == 403
    assert reader.ask(sha256).status_code == 401


def test_a_revoked_token_ends_its_grants(client: Any, new_user: Callable[[str], HfClient]) -> None:
    """Both the token to read with and the addresses are worth no more than the token they were asked for with."""
    user = new_user("ada")
    assert user.create("m", visibility="private").status_code == 200
    user.push_lfs("ada/m", "model.bin", CONTENT)
    reader, sha256 = XetReader(user, "ada/m"), hf_digest(CONTENT)
    url = fetch_of(body := reader.ask(sha256).json(), body["terms"][0]).url
    assert reader.fetch(url).status_code == 200
    [token] = client.get("/users/ada/tokens").json()["items"]
    assert client.request("DELETE", f"/users/ada/tokens/{token['id']}").status_code == 204
    assert reader.fetch(url).status_code == 403
    assert reader.ask(sha256).status_code == 401


def test_a_repo_that_becomes_private(push: Push, client: Any, hf: HfClient) -> None:
    """A stranger reads a public repo by Xet, and no more from the moment that it is private, or gone."""
    repo = client.new_repo("admin/open", "public")
    sha256 = push(client, CONTENT, repo=repo)
    stranger = XetReader(HfClient(hf.http, None), repo)
    assert stranger.read(sha256) == CONTENT
    url = fetch_of(body := stranger.ask(sha256).json(), body["terms"][0]).url
    assert hf.request("PUT", f"/api/models/{repo}/settings", json={"visibility": "private"}).status_code == 200
    assert stranger.ask(sha256).status_code == 404
    assert stranger.fetch(url).status_code == 404
    owner = XetReader(hf, repo)
    url = fetch_of(body := owner.ask(sha256).json(), body["terms"][0]).url
    assert hf.request("DELETE", "/api/repos/delete", json={"name": "open"}).status_code == 200
    assert owner.ask(sha256).status_code == 404
    assert owner.fetch(url).status_code == 404
