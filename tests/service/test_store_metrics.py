"""Every call to the store is timed, and its failures are counted by kind."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

from freebits_service.context import Hub

CONTENT = b"abcdefgh" * 5_000


def scrape(client: Any) -> dict[str, float]:
    """The store's metrics by name and labels."""
    lines = client.http.get("/metrics").text.splitlines()
    pairs = (line.rpartition(" ") for line in lines if line.startswith("freebits_store"))
    return {name: float(value) for name, _, value in pairs}


def test_a_push_and_a_pull_are_measured(client: Any) -> None:
    """Each operation by its name."""
    before = scrape(client)
    repo = client.new_repo()
    client.push(repo, {"a": CONTENT})
    assert client.resolve(repo, "a").content == CONTENT
    client.http.get("/readyz")
    after = scrape(client)
    grown = {name for name, value in after.items() if name.endswith("}") and value > before.get(name, 0)}
    for operation in ("begin", "write", "finish_part", "finish", "open", "read"):
        assert f'freebits_store_seconds_count{{operation="{operation}"}}' in grown, operation
    assert not [name for name in grown if name.startswith("freebits_store_errors")]


def test_a_failure_is_counted_and_a_missing_object_is_none(
    make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full is counted under the operation that met it."""
    client = make_client(make_hub())
    repo = client.new_repo()
    upload = client.begin(repo, CONTENT).json()
    before = scrape(client)

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwritev", full)
    assert client.put_part(repo, upload, 0, CONTENT).status_code == 507
    failed = 'freebits_store_errors_total{kind="StorageFull",operation="write"}'
    assert scrape(client)[failed] == before.get(failed, 0) + 1
