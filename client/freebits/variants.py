"""Flows about variants: equivalent forms of a revision that the hub makes on branches of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from freebits import wire
from freebits.steps import Flow

PAGE = 1000


def create_variant(
    repo: str, method: str, revision: str | None, to: str | None, parameters: Mapping[str, Any]
) -> Flow[wire.Job]:
    """The job that makes a variant, or that made it before."""
    [reply] = yield [wire.create_variant(repo, method, revision=revision, to=to, parameters=parameters)]
    return wire.parse(wire.Job, reply)


def list_variants(repo: str) -> Flow[list[wire.Variant]]:
    """All variants of a repo, newest first."""
    found: list[wire.Variant] = []
    after: int | None = None
    while True:
        [reply] = yield [wire.list_variants(repo, after, PAGE)]
        items, _ = wire.parse_items(wire.Variant, reply)
        found += items
        after = reply["next"]
        if after is None:
            return found
