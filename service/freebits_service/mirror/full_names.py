"""Full names of repos that go by one name on the upstream."""

from __future__ import annotations

from collections import OrderedDict

from ..errors import InvalidName, RepoNotFound
from ..names import split_repo_name
from .upstream import NotThere, Upstream

MAX_REMEMBERED = 10_000


class FullNames:
    """What the full names are; remembered, for they hardly change."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._known: OrderedDict[tuple[str, str], str] = OrderedDict()

    async def of(self, kind: str, name: str) -> str:
        """``namespace/name``; raises RepoNotFound, UpstreamUnavailable, UpstreamWrong."""
        if (kind, name) not in self._known:
            try:
                found = await self._upstream.full_name(kind, name)
                split_repo_name(found)
            except (NotThere, InvalidName):
                raise RepoNotFound(name) from None
            self._known[kind, name] = found
            if len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)
        return self._known[kind, name]
