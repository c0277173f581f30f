"""Users of a hub that speak to it as Hugging Face clients do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hf_client import HfClient


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
