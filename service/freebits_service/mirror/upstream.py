"""Requests to the upstream, in the protocol of Hugging Face clients.

Nothing it says is believed beyond its form: what it lists is checked where it enters the database, what it sends is
compared with the size and digest that it announced. Answers are bounded before they are kept.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar
from urllib.parse import quote, urlsplit

import httpx
from pydantic import TypeAdapter, ValidationError

from ..errors import UpstreamUnavailable, UpstreamWrong
from ..settings import MIB, Settings
from .address import PATHS, Address
from .schemas import Described, Listed, Named, Refs
from .via import extended

CONNECT_S = 4.0
SILENCE_S = 20.0  # without a byte, an answer counts as lost
MAX_JSON_NBYTES = 64 * MIB
MAX_REDIRECTS = 5
MAX_PAGES = 10_000  # of a listing, whatever is on them
CONNECTIONS = 64
_LISTED = TypeAdapter(list[Listed])
T = TypeVar("T")


class NotThere(LookupError):
    """The upstream has no such repo, revision or file, or not for this hub."""


class Upstream:
    """The upstream of the settings. Use from one event loop."""

    def __init__(self, settings: Settings) -> None:
        self.url = settings.upstream
        token = settings.upstream_token.get_secret_value()
        self._client = httpx.AsyncClient(
            headers={"User-Agent": "freebits-hub"} | ({"Authorization": f"Bearer {token}"} if token else {}),
            timeout=httpx.Timeout(SILENCE_S, connect=CONNECT_S, pool=None),
            limits=httpx.Limits(max_connections=CONNECTIONS),
            follow_redirects=True,  # the client leaves out the token where they lead to another host
            max_redirects=MAX_REDIRECTS,
            event_hooks={"request": [self._check_scheme]},
        )

    async def describe(self, address: Address, revision: str, via: str = "") -> Described:
        """A repo at a revision; raises NotThere, UpstreamUnavailable, UpstreamWrong.

        `via` says through which hubs the question came: one that mirrors this one must not ask it back.
        """
        path = f"{address.api}/revision/{quote(revision, safe='')}"
        return self._parsed(TypeAdapter(Described), *await self._json(path, headers={"Via": extended(via)}))

    async def full_name(self, kind: str, name: str) -> str:
        """``namespace/name`` of a repo that goes by its last name alone; raises what `describe` raises."""
        named = self._parsed(TypeAdapter(Named), *await self._json(f"/api/{PATHS[kind]}/{name}"))
        return named.id

    async def is_tag(self, address: Address, ref: str) -> bool:
        """Whether this ref is a tag there; raises what `describe` raises."""
        refs = self._parsed(TypeAdapter(Refs), *await self._json(f"{address.api}/refs"))
        return any(tag.name == ref for tag in refs.tags)

    async def files(self, address: Address, commit: str, limit: int) -> list[Listed]:
        """The files of a commit, at most `limit`; raises what `describe` raises."""
        found: list[Listed] = []
        page = httpx.QueryParams(recursive="true")
        for _ in range(MAX_PAGES):
            response, body = await self._json(f"{address.api}/tree/{commit}", page)
            found += [each for each in self._parsed(_LISTED, response, body) if each.type == "file"]
            following = response.links.get("next", {}).get("url")
            if len(found) > limit:
                break
            if following is None:
                return found
            # Of the link only the query is taken: nobody is led anywhere else by it.
            page = httpx.QueryParams(urlsplit(following).query)
        raise UpstreamWrong(f"{address.full_name} has more than {limit} files, or a listing without end")

    @asynccontextmanager
    async def open(
        self, address: Address, commit: str, path: str, start: int = 0
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of a file from `start` on, as they arrive; raises what `describe` raises, also while they do."""
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        try:
            async with self._client.stream("GET", self.url + address.file(commit, path), headers=headers) as response:
                self._require(response)
                wanted = f"bytes {start}-"
                if start and not response.headers.get("content-range", "").startswith(wanted):
                    raise UpstreamUnavailable(f"the upstream does not go on with {path[:200]!r} where it was cut off")
                yield response.aiter_raw()
        except httpx.HTTPError as error:
            raise self._unavailable(error) from error

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def _json(
        self, path: str, params: httpx.QueryParams | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[httpx.Response, bytes]:
        body = bytearray()
        try:
            async with self._client.stream("GET", self.url + path, params=params, headers=headers) as response:
                self._require(response)
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_JSON_NBYTES:
                        raise UpstreamWrong(f"the answer on {path[:300]} has more than {MAX_JSON_NBYTES} bytes")
        except httpx.HTTPError as error:
            raise self._unavailable(error) from error
        return response, bytes(body)

    async def _check_scheme(self, request: httpx.Request) -> None:
        """Before each request, also one that a redirect leads to."""
        if self.url.startswith("https:") and request.url.scheme != "https":
            raise UpstreamWrong(f"the upstream leads from https to {request.url.scheme}")

    def _require(self, response: httpx.Response) -> None:
        """Raises what an answer that is no success means."""
        status = response.status_code
        if status in {401, 403, 404}:
            raise NotThere(str(response.url))
        if status == 429 or status >= 500:
            raise UpstreamUnavailable(f"the upstream answered {status}; try again in a while")
        if not response.is_success:
            raise UpstreamWrong(f"the upstream answered {status} on {response.url.path[:300]}")

    def _parsed(self, form: TypeAdapter[T], response: httpx.Response, body: bytes) -> T:
        try:
            return form.validate_json(body)
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise UpstreamWrong(
                f"the upstream's answer on {response.url.path[:300]} cannot be used: {where}: {first['msg']}"
            ) from None

    def _unavailable(self, error: httpx.HTTPError) -> UpstreamUnavailable:
        return UpstreamUnavailable(f"the upstream {self.url} does not answer ({type(error).__name__})")
