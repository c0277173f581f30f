"""Hub and AsyncHub: two thin drivers over the same flows. The only file that knows httpx."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from freebits import repos, wire
from freebits.blob_http import BlobTransport
from freebits.credentials import Credentials
from freebits.download import Pull, PullResult, pull_flow
from freebits.drive import AsyncDriver, ThreadDriver
from freebits.errors import ProtocolError, api_error
from freebits.local_files import find_files
from freebits.output_folder import OutputFolder
from freebits.progress import SILENT, Progress
from freebits.remote_bytes import RemoteFile
from freebits.retry import RETRIED_STATUSES, Retry, TryAgain, retry_after_s, unreachable
from freebits.settings import find_endpoint, find_token
from freebits.steps import Flow, PutPart, Stream, Work
from freebits.upload import Push, PushResult, push_flow
from freebits.upload_state import UploadState

if TYPE_CHECKING:
    from freebits.opening import Framework, TensorFile

T = TypeVar("T")
STEPS_AT_ONCE = 6
BLOCKS_AT_ONCE = 8


class _Connection:
    """What both hubs share: who and where, how to retry, and the bytes of blobs."""

    def __init__(
        self,
        endpoint: str | None = None,
        token: str | None = None,
        *,
        retries: int = 5,
        timeout_s: float = 60.0,
        threads: int | None = None,
    ) -> None:
        credentials = Credentials()
        self.endpoint = find_endpoint(endpoint, credentials)
        token = find_token(token, self.endpoint, credentials)
        self._threads = threads or os.cpu_count() or 1
        self._retry = Retry(retries)
        self._http: dict[str, Any] = {
            "base_url": self.endpoint,
            "headers": {"Authorization": f"Bearer {token}"} if token else {},
            "timeout": timeout_s,
            "follow_redirects": True,
        }
        self._blobs = BlobTransport(self.endpoint, token, self._retry, timeout_s, httpx.create_ssl_context)
        self._blocks = ThreadPoolExecutor(BLOCKS_AT_ONCE, "freebits-block")

    def _stop(self) -> None:
        self._retry.stop.set()
        self._blobs.close()

    def _close_blobs(self) -> None:
        self._blocks.shutdown(cancel_futures=True)
        self._blobs.close()

    def _move_bytes(self, step: PutPart | Stream | Work) -> Any:
        """Do a step that is not JSON; blocks."""
        if isinstance(step, Work):
            self._retry.check_stop()
            return step.run()
        if isinstance(step, PutPart):
            return self._blobs.put(step)
        remote = RemoteFile(
            self._blobs, step.path, accept_container=step.accept_container, executor=self._blocks
        )
        try:
            return step.consume(remote)
        finally:
            remote.close()

    def _push_flow(
        self,
        path: str | os.PathLike[str],
        repo: str,
        revision: str = "main",
        message: str | None = None,
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        visibility: str = "private",
        encode: bool | None = None,
        progress: Progress = SILENT,
    ) -> Flow[PushResult]:
        wire.repo_path(repo)
        files = find_files(Path(path), include, exclude)
        push = Push(
            repo=repo,
            revision=revision,
            message=message or _default_message([file.path for file in files]),
            visibility=visibility,
            encode=encode,
            threads=self._threads,
            state=UploadState(self.endpoint),
            progress=progress,
            check_stop=self._retry.check_stop,
        )
        return push_flow(push, files)

    def _pull_flow(
        self,
        repo: str,
        output_dir: str | os.PathLike[str] | None = None,
        revision: str = "main",
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        progress: Progress = SILENT,
    ) -> Flow[PullResult]:
        wire.repo_path(repo)
        folder = OutputFolder(Path(output_dir or repo.partition("/")[2]))
        pull = Pull(repo, revision, folder, include, exclude, self._threads, progress, self._retry.check_stop)
        return pull_flow(pull)

    def _open(self, repo: str, path: str, revision: str, framework: Framework | None) -> TensorFile:
        from freebits.opening import open_remote  # noqa: PLC0415  needs numpy, which most commands do not

        remote = RemoteFile(
            self._blobs,
            wire.resolve_path(repo, revision, path),
            accept_container=True,
            executor=self._blocks,
            pin=lambda commit: wire.resolve_path(repo, commit, path),
        )
        return open_remote(remote, framework=framework, threads=self._threads)


class Hub(_Connection):
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
        """Write the files of a revision into `output_dir` (default: a folder of the repo's name).

        Options: `include`, `exclude` (globs), `progress`. Files that are there with the right bytes are left
        alone, a killed pull resumes, every file appears complete and verified or not at all.
        """
        return self._driver.run(self._pull_flow(repo, output_dir, revision, **options))

    def open(
        self, repo: str, path: str, revision: str = "main", *, framework: Framework | None = None
    ) -> TensorFile:
        """Tensors by name of a file at the hub, each read by ranges without the rest."""
        return self._open(repo, path, revision, framework)

    def whoami(self) -> wire.Identity:
        """Who the token belongs to."""
        return self._driver.run(repos.whoami())

    def repos(self, namespace: str | None = None) -> list[wire.Repo]:
        """All repos the caller may see."""
        return self._driver.run(repos.list_repos(namespace))

    def refs(self, repo: str) -> list[wire.Ref]:
        """Branches and tags of a repo."""
        return self._driver.run(repos.list_refs(repo))

    def files(self, repo: str, revision: str = "main") -> repos.Tree:
        """The files of a revision."""
        return self._driver.run(repos.read_tree(repo, revision))

    def create_repo(self, repo: str, visibility: str = "private") -> bool:
        """Create a repo; False when it exists."""
        return self._driver.run(repos.create_if_absent(repo, visibility))

    def delete_repo(self, repo: str) -> None:
        """Delete a repo with all its revisions."""
        self._driver.run(repos.delete_repo(repo))

    def delete_ref(self, repo: str, kind: str, name: str) -> None:
        """Delete a branch or a tag; `kind` is "branch" or "tag"."""
        self._driver.run(repos.delete_ref(repo, kind, name))

    def delete_files(self, repo: str, paths: Sequence[str], revision: str, message: str) -> str:
        """Commit the removal of files (or folders, with a trailing "/"); the new commit's id."""
        return self._driver.run(repos.delete_files(repo, revision, paths, message))

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


class AsyncHub(_Connection):
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
        return await self._run(repos.whoami())

    async def repos(self, namespace: str | None = None) -> list[wire.Repo]:
        """All repos the caller may see."""
        return await self._run(repos.list_repos(namespace))

    async def files(self, repo: str, revision: str = "main") -> repos.Tree:
        """The files of a revision."""
        return await self._run(repos.read_tree(repo, revision))

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
        for number in range(self._retry.retries + 1):
            try:
                return await self._call(step)
            except TryAgain as failed:
                if number == self._retry.retries:
                    raise failed.error from failed.__cause__
                await asyncio.sleep(self._retry.wait_s(number, failed.after_s))
        raise AssertionError("the loop returns or raises")

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
    if response.status_code in RETRIED_STATUSES:
        raise TryAgain(error, retry_after_s(response.headers))
    raise error


def _default_message(paths: Sequence[str]) -> str:
    return f"Add {paths[0]}" if len(paths) == 1 else f"Add {len(paths)} files"
