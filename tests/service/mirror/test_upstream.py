"""Requests to an upstream, without one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import httpx
import pytest

from freebits_service.errors import UpstreamWrong
from freebits_service.mirror.upstream import Upstream


def test_never_from_https_to_http(make_settings: Callable[..., Any]) -> None:
    """What an https upstream leads to is asked by https, or not at all."""
    upstream = Upstream(make_settings(upstream="https://hub.example"))
    [check] = upstream._client.event_hooks["request"]
    for url, is_asked in (("https://store.example/x", True), ("http://127.0.0.1/x", False)):
        with nullcontext() if is_asked else pytest.raises(UpstreamWrong, match="from https to http"):
            asyncio.run(check(httpx.Request("GET", url)))
    asyncio.run(upstream.close())
