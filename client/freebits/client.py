"""Hub and AsyncHub: two thin drivers over the same flows. The only file that knows httpx."""

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
from freebits.drive import AsyncDriver, ThreadDriver
from freebits.errors import Damaged, ProtocolError, api_error
from freebits.repos import Tree
from freebits.retry import RETRIED_STATUSES, Tries, TryAgain, retry_after_s, unreachable
from freebits.steps import Flow, PutPart, Stream, Work
from freebits.upload import PushResult

if TYPE_CHECKING:
    from freebits.opening import Framework, TensorFile

T = TypeVar("T")
STEPS_AT_ONCE = 6


class Hub(Connection):
    """A freebits hub. Also a context manager; `close` ends its threads and connections.

    Parameters
    ----------
    endpoint : str, optional
        Address of the hub; default: FREEBITS_ENDPOINT, HF_ENDPOINT, the last `freebits login`.
    token : str, optional
        Default: FREEBITS_TOKEN, the login stored for this endpoint, HF_TOKEN.
    retries : int
        How often a failed request is tried again before TransportError, waiting longer each time.
    timeout_s : float
        Seconds without any byte before a request counts as failed.
    threads : int, optional
        Threads for encoding and decoding; default: all cores.
    """

    def __init__(self, endpoint: str | None = None, token: str | None = None, **options: Any) -> None:
        super().__init__(endpoint, token, **options)
        self._client = httpx.Client(**self._http)
        self._driver = ThreadDriver(self._perform, self._stop, STEPS_AT_ONCE)

    def push(
        self,
        path: str | os.PathLike[str],
        repo: str,
        revision: str = "main",
        message: str | None = None,
        **options: Any,
    ) -> PushResult:
        """Commit a file or a folder to branch `revision` of `repo`; only what changed is sent.

        Options: `include`, `exclude` (globs), `visibility` ("private" or "public") if the repo has to be
        created, `encode` (None: when that is faster than the link, True: always, False: never), `progress`. A
        killed push resumes when it is called again with the same arguments.
        """
        return self._driver.run(self._push_flow(path, repo, revision, message, **options))

    def pull(
        self,
        repo: str,
        output_dir: str | os.PathLike[str] | None = None,
        revision: str = "main",
        **options: Any,
    ) -> PullResult:
        """Write the files of a revision into `output_dir`, by default into the cache of Hugging Face libraries.

        Options: `include`, `exclude` (globs), `progress`. Files that are there with the right bytes are left
        alone, a killed pull resumes, every file appears complete and verified or not at all.
        """
        return self._driver.run(self._pull_flow(repo, output_dir, revision, **options))

    def open(self, repo: str, path: str, revision: str = "main", *, framework: Framework | None = None) -> TensorFile:
        """Tensors by name of a file at the hub, each read by ranges without the rest."""
        return self._open(repo, path, revision, framework)

    def whoami(self) -> wire.Identity:
        """Who the token belongs to."""
        return self._driver.run(flows.whoami())

    def ask(self, request: wire.Request) -> Any:
        """The decoded JSON answer to a request of `freebits.wire` or `freebits.wire_accounts`."""
        return self._driver.run(flows.ask(request))

    def repos(self, namespace: str | None = None) -> list[wire.Repo]:
        """All repos the caller may see."""
        return self._driver.run(flows.list_repos(namespace))

    def refs(self, repo: str) -> list[wire.Ref]:
        """Branches and tags of a repo."""
        return self._driver.run(flows.list_refs(repo))

    def jobs(self, state: str | None = None, limit: int = 100) -> list[wire.Job]:
        """The newest jobs of the hub that the caller may see, of one state or of all."""
        return self._driver.run(job_flows.list_jobs(state, limit))

    def job(self, job_id: int) -> wire.Job:
        """One job of the hub."""
        return self._driver.run(job_flows.get_job(job_id))

    def change_job(self, job_id: int, action: str) -> None:
        """Queue a parked or cancelled job again ("retry"), or stop one ("cancel"); for admins."""
        self._driver.run(job_flows.change_job(job_id, action))

    def create_variant(
        self,
        repo: str,
        method: str,
        revision: str | None = None,
        to: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> wire.Job:
        """Have the hub make an equivalent variant of a revision (the default branch) on branch `to` (the method).

        The answer is the job that makes it, or made it before; `job` says how far it is.
        """
        return self._driver.run(variant_flows.create_variant(repo, method, revision, to, parameters or {}))

    def variants(self, repo: str) -> list[wire.Variant]:
        """The variants of a repo, newest first."""
        return self._driver.run(variant_flows.list_variants(repo))

    def files(self, repo: str, revision: str = "main") -> Tree:
        """The files of a revision."""
        return self._driver.run(flows.read_tree(repo, revision))

    def create_repo(self, repo: str, visibility: str = "private") -> bool:
        """Create a repo; False when it exists."""
        return self._driver.run(flows.create_if_absent(repo, visibility))

    def delete_repo(self, repo: str) -> None:
        """Delete a repo with all its revisions."""
        self._driver.run(flows.delete_repo(repo))

    def delete_ref(self, repo: str, kind: str, name: str) -> None:
        """Delete a branch or a tag; `kind` is "branch" or "tag"."""
        self._driver.run(flows.delete_ref(repo, kind, name))

    def deleted_repos(self, namespace: str | None = None) -> list[wire.DeletedRepo]:
        """Deleted repos that the caller can bring back."""
        return self._driver.run(flows.list_deleted_repos(namespace))

    def undelete_repo(self, repo: str, new_name: str | None = None) -> wire.Repo:
        """Bring back the repo of this name that was deleted last, as `new_name` in the same namespace if given."""
        return self._driver.run(flows.undelete_repo(repo, new_name))

    def deleted_refs(self, repo: str) -> list[wire.DeletedRef]:
        """Branches and tags that were deleted lately, newest first."""
        return self._driver.run(flows.list_deleted_refs(repo))

    def undelete_ref(self, repo: str, kind: str, name: str) -> wire.Ref:
        """Create a branch or tag again where it was when it was deleted last; `kind` is "branch" or "tag"."""
        return self._driver.run(flows.undelete_ref(repo, kind, name))

    def delete_files(self, repo: str, paths: Sequence[str], revision: str, message: str) -> str:
        """Commit the removal of files (or folders, with a trailing "/"); the new commit's id."""
        return self._driver.run(flows.delete_files(repo, revision, paths, message))

    def close(self) -> None:
        """End threads and connections."""
        self._driver.close()
        self._close_blobs()
        self._client.close()

    def __enter__(self) -> Hub:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _perform(self, step: wire.Request | PutPart | Stream | Work) -> Any:
        if isinstance(step, wire.Request):
            return self._retry.run(lambda: self._call(step))
        return self._move_bytes(step)

    def _call(self, request: wire.Request) -> Any:
        try:
            response = self._client.request(request.method, request.path, json=request.json)
        except httpx.HTTPError as error:
            raise TryAgain(unreachable(self.endpoint, error)) from error
        return _reply(response)


class AsyncHub(Connection):
    """The same hub for asyncio: `async with AsyncHub() as hub: await hub.push(...)`.

    JSON goes over httpx's asynchronous client; blobs, hashing and disk run in threads.
    """

    def __init__(self, endpoint: str | None = None, token: str | None = None, **options: Any) -> None:
        super().__init__(endpoint, token, **options)
        self._client = httpx.AsyncClient(**self._http)
        self._driver = AsyncDriver(self._perform, STEPS_AT_ONCE)

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
        """Who the token belongs to."""
        return await self._run(flows.whoami())

    async def repos(self, namespace: str | None = None) -> list[wire.Repo]:
        """All repos the caller may see."""
        return await self._run(flows.list_repos(namespace))

    async def files(self, repo: str, revision: str = "main") -> Tree:
        """The files of a revision."""
        return await self._run(flows.read_tree(repo, revision))

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
        return _reply(response)


def _reply(response: httpx.Response) -> Any:
    """The decoded JSON of a success; the error of a failure."""
    try:
        body: Any = response.json() if response.content else None
    except ValueError:
        body = None
        if response.is_success:
            raise ProtocolError(
                f"the answer of {response.url.host} is not JSON; check that the endpoint is a freebits hub"
            ) from None
    if response.is_success:
        return body
    error = api_error(response.status_code, body)
    if response.status_code in RETRIED_STATUSES and not isinstance(error, Damaged):
        raise TryAgain(error, retry_after_s(response.headers))
    raise error
