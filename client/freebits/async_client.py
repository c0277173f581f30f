"""AsyncHub: the same flows, driven for asyncio."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from freebits import jobs as job_flows
from freebits import repos as flows
from freebits import variants as variant_flows
from freebits import wire
from freebits.connection import Connection
from freebits.download import PullResult
from freebits.drive import AsyncDriver
from freebits.json_http import json_of
from freebits.repos import Tree
from freebits.retry import Tries, TryAgain, unreachable
from freebits.steps import Flow, PutPart, Stream, Work
from freebits.upload import PushResult

if TYPE_CHECKING:
    from freebits.opening import Framework, TensorFile

T = TypeVar("T")


class AsyncHub(Connection):
    """The same hub for asyncio: `async with AsyncHub() as hub: await hub.push(...)`.

    JSON goes over httpx's asynchronous client; blobs, hashing and disk run in threads.
    """

    def __init__(self, endpoint: str | None = None, token: str | None = None, **options: Any) -> None:
        super().__init__(endpoint, token, **options)
        self._client = httpx.AsyncClient(**self._http)
        self._driver = AsyncDriver(self._perform)

    async def push(
        self,
        path: str | os.PathLike[str],
        repo: str,
        revision: str = "main",
        message: str | None = None,
        **options: Any,
    ) -> PushResult:
        """See `Hub.push`."""
        return await self._run(self._push_flow(path, repo, revision, message, **options))

    async def pull(
        self,
        repo: str,
        output_dir: str | os.PathLike[str] | None = None,
        revision: str = "main",
        **options: Any,
    ) -> PullResult:
        """See `Hub.pull`."""
        return await self._run(self._pull_flow(repo, output_dir, revision, **options))

    async def open(
        self, repo: str, path: str, revision: str = "main", *, framework: Framework | None = None
    ) -> TensorFile:
        """See `Hub.open`; the tensors themselves are then read synchronously."""
        return await asyncio.to_thread(self._open, repo, path, revision, framework)

    async def whoami(self) -> wire.Identity:
        """See `Hub.whoami`."""
        return await self._run(flows.whoami())

    async def ask(self, request: wire.Request) -> Any:
        """See `Hub.ask`."""
        return await self._run(flows.ask(request))

    async def repos(self, namespace: str | None = None) -> list[wire.Repo]:
        """See `Hub.repos`."""
        return await self._run(flows.list_repos(namespace))

    async def refs(self, repo: str) -> list[wire.Ref]:
        """See `Hub.refs`."""
        return await self._run(flows.list_refs(repo))

    async def jobs(self, state: str | None = None, limit: int = 100) -> list[wire.Job]:
        """See `Hub.jobs`."""
        return await self._run(job_flows.list_jobs(state, limit))

    async def job(self, job_id: int) -> wire.Job:
        """See `Hub.job`."""
        return await self._run(job_flows.get_job(job_id))

    async def change_job(self, job_id: int, action: str) -> None:
        """See `Hub.change_job`."""
        await self._run(job_flows.change_job(job_id, action))

    async def create_variant(
        self,
        repo: str,
        method: str,
        revision: str | None = None,
        to: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> wire.Job:
        """See `Hub.create_variant`."""
        return await self._run(variant_flows.create_variant(repo, method, revision, to, parameters or {}))

    async def variants(self, repo: str) -> list[wire.Variant]:
        """See `Hub.variants`."""
        return await self._run(variant_flows.list_variants(repo))

    async def files(self, repo: str, revision: str = "main") -> Tree:
        """See `Hub.files`."""
        return await self._run(flows.read_tree(repo, revision))

    async def create_repo(self, repo: str, visibility: str = "private") -> bool:
        """See `Hub.create_repo`."""
        return await self._run(flows.create_if_absent(repo, visibility))

    async def delete_repo(self, repo: str) -> None:
        """See `Hub.delete_repo`."""
        await self._run(flows.delete_repo(repo))

    async def delete_ref(self, repo: str, kind: str, name: str) -> None:
        """See `Hub.delete_ref`."""
        await self._run(flows.delete_ref(repo, kind, name))

    async def deleted_repos(self, namespace: str | None = None) -> list[wire.DeletedRepo]:
        """See `Hub.deleted_repos`."""
        return await self._run(flows.list_deleted_repos(namespace))

    async def undelete_repo(self, repo: str, new_name: str | None = None) -> wire.Repo:
        """See `Hub.undelete_repo`."""
        return await self._run(flows.undelete_repo(repo, new_name))

    async def deleted_refs(self, repo: str) -> list[wire.DeletedRef]:
        """See `Hub.deleted_refs`."""
        return await self._run(flows.list_deleted_refs(repo))

    async def undelete_ref(self, repo: str, kind: str, name: str) -> wire.Ref:
        """See `Hub.undelete_ref`."""
        return await self._run(flows.undelete_ref(repo, kind, name))

    async def delete_files(self, repo: str, paths: Sequence[str], revision: str, message: str) -> str:
        """See `Hub.delete_files`."""
        return await self._run(flows.delete_files(repo, revision, paths, message))

    async def aclose(self) -> None:
        """End threads and connections."""
        self._close_blobs()
        await self._client.aclose()

    async def __aenter__(self) -> AsyncHub:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _run(self, flow: Flow[T]) -> T:
        try:
            return await self._driver.run(flow)
        except asyncio.CancelledError:
            self._stop()
            raise

    async def _perform(self, step: wire.Request | PutPart | Stream | Work) -> Any:
        if not isinstance(step, wire.Request):
            return await asyncio.to_thread(self._move_bytes, step)
        tries = Tries(self._retry)
        while True:
            try:
                return await self._call(step)
            except TryAgain as failed:
                await asyncio.sleep(tries.wait_s(failed))

    async def _call(self, request: wire.Request) -> Any:
        try:
            response = await self._client.request(request.method, request.path, json=request.json)
        except httpx.HTTPError as error:
            raise TryAgain(unreachable(self.endpoint, error)) from error
        return json_of(response)
