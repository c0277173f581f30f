"""A hub with repos, and hubs that mirror it."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hf_client import HfClient

from freebits_service.context import Hub


@dataclass
class UpstreamHub:
    """A hub process with the repo ``up/model``, and how often it was asked for files."""

    served: Any
    client: Any

    def asked(self, path: str) -> int:
        """How many GETs of this file it has answered."""
        return sum(f"/{path}" in line and '"GET"' in line for line in self.served.log().splitlines())

    def push(self, repo: str, files: dict[str, bytes | None], parent: str | None = None, **changes: Any) -> str:
        """Commit files; the commit."""
        commit: str = self.client.push(repo, files, parent, **changes)
        return commit


@pytest.fixture(scope="module")
def upstream_process(make_lasting_process: Callable[..., Any]) -> Any:
    """The upstream of the tests of a module."""
    served = make_lasting_process(name="upstream")
    served.start()
    return served


@pytest.fixture
def upstream(upstream_process: Any, connect: Callable[..., Any]) -> UpstreamHub:
    """The same with its admin."""
    return UpstreamHub(upstream_process, connect(upstream_process))


@pytest.fixture
def repo(upstream: UpstreamHub, request: pytest.FixtureRequest) -> str:
    """A public repo of the upstream, another one for each test."""
    name = f"up/{zlib.crc32(request.node.nodeid.encode()):08x}"
    upstream.client.new_repo(name)
    return name


@pytest.fixture
def commit(upstream: UpstreamHub, repo: str, request: pytest.FixtureRequest) -> str:
    """The commit on the upstream of the FILES of the test's module."""
    return upstream.push(repo, request.module.FILES)


@pytest.fixture
def hub(upstream: UpstreamHub, make_hub: Callable[..., Hub]) -> Hub:
    """A hub that mirrors it, and looks at each branch every time."""
    return make_hub(upstream=upstream.served.url, upstream_refresh_s=0, encode_min_nbytes=1, delete_grace_s=0)


@pytest.fixture
def hf(client: Any) -> HfClient:
    """The admin of the mirror."""
    return HfClient(client.http, client.token)


@pytest.fixture
def stranger(client: Any) -> HfClient:
    """Somebody who has no token for it."""
    return HfClient(client.http, None)
