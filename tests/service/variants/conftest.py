"""A repo with a sliced model, and the steps of a worker that makes variants, in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from inline_encoder import InlineEncoder
from variant_asking import METHOD, SOURCE, ask, run_variant

from freebits_service.context import Hub
from freebits_service.scratch import Scratch
from freebits_service.workers.variant import VariantSteps


@pytest.fixture
def repo(client: Any) -> str:
    """A repo with a model on its default branch."""
    name: str = client.new_repo()
    client.push(name, SOURCE)
    return name


@pytest.fixture
def variant_steps(hub: Hub) -> VariantSteps:
    """The steps of a worker over `hub`, in this process."""
    return VariantSteps(hub, InlineEncoder(hub.settings), "w1", Scratch(hub.settings, "w1"))


@pytest.fixture
def make_variant(client: Any, variant_steps: VariantSteps) -> Callable[..., dict[str, Any]]:
    """Ask for a variant and have it made; how it is listed."""

    def make(repo: str, method: str = METHOD, **body: Any) -> dict[str, Any]:
        reply = ask(client, repo, method, **body)
        assert reply.status_code == 202, reply.text
        run_variant(variant_steps)
        listed: dict[str, Any] = client.get(f"/repos/{repo}/variants").json()["items"][0]
        assert listed["state"] == "done"
        return listed

    return make
