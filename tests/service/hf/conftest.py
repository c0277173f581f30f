"""Users of a hub that speak to it as Hugging Face clients do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hf_client import HfClient, hf_digest
from xet_client import XetWriter

from freebits_codecs import encode


@pytest.fixture
def hf(client: Any) -> HfClient:
    """The admin."""
    return HfClient(client.http, client.token)


@pytest.fixture
def new_user(client: Any) -> Callable[[str], HfClient]:
    """Makes users of the hub."""

    def make(name: str) -> HfClient:
        return HfClient(client.http, client.new_user(name).token)

    return make


@pytest.fixture
def xet(hf: HfClient) -> XetWriter:
    """The admin, with a private repo: what a public one holds everybody may have."""
    assert hf.create("m", visibility="private").status_code == 200
    return XetWriter(hf, "admin/m")


@pytest.fixture(params=["raw", "encoded"])
def form(request: pytest.FixtureRequest) -> str:
    """How a file is stored."""
    stored: str = request.param
    return stored


def push_as(client: Any, content: bytes, form: str = "raw", path: str = "model.bin", repo: str = "admin/m") -> str:
    """Put a file into a repo, stored as `form` says; its SHA-256."""
    client.upload(repo, content, stored=encode(content, sha256=True) if form == "encoded" else None)
    page = client.get(f"/repos/{repo}/commits/main").json()
    parent = page["items"][0]["id"] if page.get("items") else None
    reply = client.commit(repo, {path: content}, parent)
    assert reply.status_code == 201, reply.text
    state = client.resolve(repo, path, method="HEAD").headers["x-freebits-state"]
    assert (state == "encoded") == (form == "encoded"), state
    return hf_digest(content)


@pytest.fixture
def repo(client: Any) -> str:
    """A private repo: what a public one holds everybody may have."""
    name: str = client.new_repo("admin/m", "private")
    return name


@pytest.fixture
def push() -> Callable[..., str]:
    """Puts a file into a repo of a hub, stored as it is or encoded: ``push(client, content, form, path, repo)``."""
    return push_as
